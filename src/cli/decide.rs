//! `zia-mcp approve` and `zia-mcp reject`

use clap::Args;

use super::{Exit, General, wiring};

#[derive(Debug, Args)]
pub(super) struct Decide {
    /// The operation's id
    #[arg(value_name = "OP")]
    operation: String,
}

impl Decide {
    /// Refuses: this release enrols no approvers, so nobody can prove who they are here.
    pub(super) async fn run(&self, general: &General) -> Result<(), Exit> {
        let records = wiring::records(general).await?;
        if !records.is_waiting(&self.operation).await.map_err(Exit::unavailable)? {
            return Err(Exit::no_input("there is no such open operation"));
        }
        Err(Exit::unavailable(
            "this release cannot enrol approvers yet, so nobody can decide out of band: \
             decide in a client that shows forms, over stdio, or let the operation expire",
        ))
    }
}
