//! `zia-mcp store`

mod migrate;
mod rekey;

use clap::{Args, Subcommand};

use super::{Exit, General};

#[derive(Debug, Args)]
pub(super) struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the schema, or bring it up to date
    Migrate(migrate::Migrate),
    /// Make a new key, seal everything with it, and forget the old one
    Rekey(rekey::Rekey),
}

impl Store {
    /// Works on the store as a whole.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        match self.what {
            What::Migrate(migrate) => migrate.run(general).await,
            What::Rekey(rekey) => rekey.run(general).await,
        }
    }
}
