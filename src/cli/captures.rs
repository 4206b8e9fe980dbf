//! `zia-mcp captures`

mod export;
mod list;
mod purge;
mod show;

use clap::{Args, Subcommand};

use super::{Exit, General};

#[derive(Debug, Args)]
pub(super) struct Captures {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the before-images, newest first
    List(list::List),
    /// Print one before-image, decrypted
    Show(show::Show),
    /// Write before-images to a file that only the holder of an age identity can read
    Export(export::Export),
    /// Destroy before-images for good
    Purge(purge::Purge),
}

impl Captures {
    /// Works on the before-images of every tenant in the store.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        match self.what {
            What::List(list) => list.run(general).await,
            What::Show(show) => show.run(general).await,
            What::Export(export) => export.run(general).await,
            What::Purge(purge) => purge.run(general).await,
        }
    }
}
