//! `zia-mcp captures export`

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use age::{
    Encryptor, Recipient,
    armor::{ArmoredWriter, Format},
    stream::StreamWriter,
    x25519,
};
use clap::Args;

use crate::{
    cli::{Exit, General, output, wiring},
    lifecycle::{Exportable, Records},
    model::Digest,
};

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Who can read it, as age1…; may be given several times
    #[arg(long, value_name = "RECIPIENT", required = true)]
    recipient: Vec<String>,
    /// Captures of this tenant only
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The capture of this id only; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Write to a new file instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write ASCII instead of bytes
    #[arg(long)]
    armor: bool,
}

/// Encrypts what is written to it; unfinished, it cannot be decrypted.
type Sealing = StreamWriter<ArmoredWriter<BufWriter<Box<dyn Write + Send>>>>;

impl Export {
    /// Encrypts captures; nothing is ever written in clear.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let recipients = recipients(&self.recipient)?;
        if self.output.is_none() && !self.armor && io::stdout().is_terminal() {
            return Err(Exit::usage("stdout is a terminal: use --output FILE, or --armor for ASCII"));
        }
        let records = wiring::records(general).await?;
        let captures = records.exportable(self.tenant.as_deref(), &self.id).await.map_err(Exit::no_input)?;
        if captures.is_empty() {
            return Err(Exit::no_input("there are no captures to export"));
        }
        let Some(path) = &self.output else {
            return self.write(&records, &captures, &recipients, Box::new(io::stdout())).await;
        };
        let file = create(path)?;
        let sink = file.try_clone().map_err(Exit::unavailable)?;
        let written = match self.write(&records, &captures, &recipients, Box::new(sink)).await {
            Ok(()) => make_durable(&file, path),
            failed => failed,
        };
        if written.is_err() {
            // What is there is of no use: it cannot be decrypted.
            let _ = fs::remove_file(path);
        }
        written?;
        output::line(format!("{} captures in {}", captures.len(), path.display()))
    }

    async fn write(
        &self,
        records: &Records,
        captures: &Exportable,
        recipients: &[x25519::Recipient],
        sink: Box<dyn Write + Send>,
    ) -> Result<(), Exit> {
        let digest = digest(recipients);
        records.export_begins(captures, &digest).await.map_err(Exit::unavailable)?;
        let format = if self.armor { Format::AsciiArmor } else { Format::Binary };
        let mut sealing = seal(recipients, sink, format)?;
        for (id, _) in captures {
            if let Some(line) = records.export_line(id).await.map_err(Exit::unavailable)? {
                sealing.write_all(line.as_bytes()).and_then(|()| sealing.write_all(b"\n")).map_err(broken)?;
            }
        }
        let end = || sealing.finish()?.finish()?.flush();
        end().map_err(broken)
    }
}

fn recipients(texts: &[String]) -> Result<Vec<x25519::Recipient>, Exit> {
    // The text is not repeated: it may be an identity, given by mistake.
    let wrong = |_| Exit::usage("--recipient: expected an age recipient, such as `age-keygen` prints: age1…");
    texts.iter().map(|text| text.trim().parse().map_err(wrong)).collect()
}

/// Tells the recipients apart in the audit trail, in whatever order they are given.
fn digest(recipients: &[x25519::Recipient]) -> Digest {
    let mut names: Vec<_> = recipients.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    Digest::of(names.join("\n").as_bytes())
}

fn seal(
    recipients: &[x25519::Recipient],
    sink: Box<dyn Write + Send>,
    format: Format,
) -> Result<Sealing, Exit> {
    let recipients = recipients.iter().map(|recipient| recipient as &dyn Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(Exit::unavailable)?;
    let armored = ArmoredWriter::wrap_output(BufWriter::new(sink), format).map_err(broken)?;
    encryptor.wrap_output(armored).map_err(broken)
}

fn create(path: &Path) -> Result<File, Exit> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|error| Exit::usage(format!("{}: {error}", path.display())))
}

fn make_durable(file: &File, path: &Path) -> Result<(), Exit> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    file.sync_all().and_then(|()| File::open(dir)?.sync_all()).map_err(broken)
}

fn broken(error: io::Error) -> Exit {
    Exit::unavailable(format!("the export could not be written: {error}"))
}
