//! The person at the terminal, whom a program cannot answer for by a pipe.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, IsTerminal as _, Write as _},
};

use super::Exit;

/// The longest line that is read.
const MAX_LINE: u64 = 1_024;

/// The terminal that controls this process.
pub(super) struct Terminal(File);

impl Terminal {
    /// Opens it, whatever stdout is; refuses where stdin is piped or there is none.
    ///
    /// # Errors
    /// Exit 77.
    pub(super) fn open() -> Result<Self, Exit> {
        let refused = || Exit::permission("this needs a person at a terminal: it reads from nothing else");
        if !std::io::stdin().is_terminal() {
            return Err(refused());
        }
        let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
        opened.map(Self).map_err(|_| refused())
    }

    /// Writes a line.
    pub(super) fn say(&self, text: impl std::fmt::Display) -> Result<(), Exit> {
        writeln!(&self.0, "{text}").map_err(gone)
    }

    /// Asks for one line; what is typed is shown.
    pub(super) async fn ask(&self, question: &str) -> Result<String, Exit> {
        write!(&self.0, "{question} ").and_then(|()| (&self.0).flush()).map_err(gone)?;
        let tty = self.0.try_clone().map_err(gone)?;
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            let mut limited = BufReader::new(std::io::Read::take(tty, MAX_LINE));
            limited.read_line(&mut line).map(|_| line)
        });
        let line = line.await.map_err(Exit::unavailable)?.map_err(gone)?;
        if line.ends_with('\n') {
            Ok(line.trim().to_owned())
        } else {
            Err(Exit::permission("nothing was typed"))
        }
    }
}

fn gone(error: std::io::Error) -> Exit {
    Exit::unavailable(format!("the terminal: {}", error.kind()))
}
