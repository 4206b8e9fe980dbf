//! `zia-mcp approve` and `zia-mcp reject`

use clap::Args;

use super::Exit;

#[derive(Debug, Args)]
pub(super) struct Decide {
    /// The operation's id
    #[arg(value_name = "OP")]
    operation: String,
}

impl Decide {
    /// Refuses: this release enrols no approvers, so nobody can prove who they are here.
    pub(super) fn run(&self) -> Result<(), Exit> {
        if self.operation.parse::<crate::model::OperationId>().is_err() {
            return Err(Exit::no_input("there is no such open operation"));
        }
        Err(Exit::unavailable(
            "this release cannot enrol approvers yet, so nobody can decide out of band: \
             decide in a client that shows forms, over stdio, or let the operation expire",
        ))
    }
}
