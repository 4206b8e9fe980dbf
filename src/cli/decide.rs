//! `zia-mcp approve` and `zia-mcp reject`

use clap::Args;

use super::{Exit, General, output, terminal::Terminal, wiring};
use crate::{
    lifecycle::{Approver, Decided, Decision, Proof, Records, Waiting},
    model::OperationId,
};

#[derive(Debug, Args)]
pub(super) struct Decide {
    /// The operation's id
    #[arg(value_name = "OP")]
    operation: String,
}

impl Decide {
    /// Shows what will happen, and takes the decision of an approver who has their one-time code.
    pub(super) async fn run(&self, general: &General, approve: bool) -> Result<(), Exit> {
        let (records, policy) = wiring::records_and_policy(general).await?;
        let waiting = records.waiting(&self.operation).await.map_err(Exit::of)?;
        let terminal = Terminal::open()?;
        let approvers = records.approvers().await.map_err(Exit::of)?;
        if approvers.is_empty() {
            return Err(Exit::unavailable(
                "nobody may approve yet: enrol somebody with `zia-mcp approver add NAME`",
            ));
        }
        for line in waiting.lines.iter().flat_map(|line| output::wrapped(line, 0)) {
            terminal.say(line)?;
        }
        terminal.say("")?;
        count(&terminal, &waiting).await?;
        let id = self.operation.parse().map_err(|()| Exit::no_input("there is no such operation"))?;
        let by = proven(&terminal, &records, &id, &approvers, approve).await?;
        let decision = Decision { approve, by, subject: None, channel: "code".into() };
        let decided = records.decide(&id, decision, &policy).await.map_err(Exit::of)?;
        terminal.say(match decided {
            Decided::Approved => "Approved: a running server carries it out now.",
            Decided::OneOfTwo => "Approved: one more person has to, before anything is sent.",
            Decided::Rejected => "Rejected: nothing will be sent.",
        })
    }
}

/// Has the number of users typed, where there are several.
async fn count(terminal: &Terminal, waiting: &Waiting) -> Result<(), Exit> {
    let Some(count) = waiting.count else { return Ok(()) };
    let typed = terminal.ask("How many users are deleted? Type the number:").await?;
    if typed == count.to_string() {
        Ok(())
    } else {
        Err(Exit::permission("the number is another one; nothing was decided"))
    }
}

/// The name of whoever proves themself with a one-time code.
async fn proven(
    terminal: &Terminal,
    records: &Records,
    id: &OperationId,
    approvers: &[Approver],
    approve: bool,
) -> Result<String, Exit> {
    let name = match approvers {
        [only] => only.name.clone(),
        _ => terminal.ask("Your name as an approver:").await?,
    };
    let what = if approve { "approve" } else { "reject" };
    let code = terminal.ask(&format!("One-time code, to {what}:")).await?;
    match records.prove(id, &name, &code).await.map_err(Exit::of)? {
        Proof::Right(name) => Ok(name),
        Proof::Wrong => Err(Exit::permission("wrong or used code; nothing was decided")),
        Proof::Locked(until) => {
            let why = format!("too many wrong codes: locked until {until:.0}; nothing was decided");
            Err(Exit::permission(why))
        }
    }
}
