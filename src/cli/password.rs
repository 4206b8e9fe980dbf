//! `zia-mcp password`

use clap::Args;
use secrecy::ExposeSecret as _;

use super::{Exit, General, terminal::Terminal, wiring};
use crate::model::shown;

#[derive(Debug, Args)]
pub(super) struct Password {
    /// The operation that created the user
    #[arg(value_name = "OP")]
    operation: String,
}

impl Password {
    /// Shows the password at the terminal alone: what is piped could be read by an agent.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let terminal = Terminal::open()?;
        let records = wiring::records(general).await?;
        let id = self.operation.parse().map_err(|()| Exit::no_input("there is no such operation"))?;
        let first = records.take_password(&id, None, "terminal").await.map_err(Exit::of)?;
        terminal.say(format!("First password of {}:\n", shown(&first.user)))?;
        terminal.say(first.password.expose_secret())?;
        terminal.say(
            "\nIt is not shown again, and kept no longer. Hand it to the user on a way that no agent reads, then \
             clear the screen.",
        )
    }
}
