//! `zia-mcp store migrate`

use clap::Args;

use crate::cli::{Exit, General, output::line, wiring};

#[derive(Debug, Args)]
pub(super) struct Migrate {}

impl Migrate {
    /// Makes the schema, or brings it up to date; does nothing where it is.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let config = wiring::config(general, true)?;
        let _log = wiring::telemetry(general, Some(&config))?;
        let store = wiring::open(&config).await?;
        store.close().await;
        line(match &config.database {
            Some(database) => format!("{database} has the schema of this version"),
            None => format!("the store in {} has the schema of this version", config.state_dir.display()),
        })
    }
}
