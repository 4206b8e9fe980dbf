//! The `zia-mcp` command.

use std::{io::Write, process::ExitCode, time::Duration};

use clap::{Parser, error::ErrorKind};
use zia_mcp::cli::Cli;

/// How long blocking reads, such as of stdin, may hold the process back at its end.
const LINGER: Duration = Duration::from_millis(50);

/// Stack of a thread, in bytes: the calls of an unoptimised build nest deep. What is not used costs nothing.
const STACK: usize = 8 * 1024 * 1024;

/// `sysexits`: the command was used wrongly.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nobody reading the help is fine.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().thread_stack_size(STACK).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(71, &error.to_string()),
    };
    let ended = runtime.block_on(Box::pin(cli.run()));
    runtime.shutdown_timeout(LINGER);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => fail(exit.code(), &exit.to_string()),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    if !message.is_empty() {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "zia-mcp: {message}");
    }
    ExitCode::from(code)
}
