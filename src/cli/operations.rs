//! `zia-mcp operations`

use clap::Args;

use super::{Exit, General, output, wiring};
use crate::{lifecycle::OperationLine, model::shown};

/// Operations listed.
const LISTED: u32 = 50;

#[derive(Debug, Args)]
pub(super) struct Operations {
    /// One operation, whole
    #[arg(value_name = "OP")]
    operation: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Operations {
    /// Prints open and recent operations of every tenant in the store, or one whole.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let records = wiring::records(general).await?;
        if let Some(id) = &self.operation {
            let whole = records.operation(id).await.map_err(Exit::no_input)?;
            return output::json(&whole);
        }
        let lines = records.operations(LISTED).await.map_err(Exit::unavailable)?;
        if self.json {
            return output::json(&lines);
        }
        if lines.is_empty() {
            return output::line("no operations yet");
        }
        let heads = ["OPERATION", "TOOL", "OUTCOME", "USER", "ASKED BY", "OPEN UNTIL"];
        output::table(heads, &lines.iter().map(row).collect::<Vec<_>>())
    }
}

/// The user's address, or how many users.
fn who(line: &OperationLine) -> String {
    let several = line.count.map(|count| format!("{count} users"));
    several.or_else(|| line.user.as_deref().map(shown)).unwrap_or_else(|| "-".into())
}

fn row(line: &OperationLine) -> [String; 6] {
    let outcome = serde_json::to_value(line.outcome).ok();
    [
        line.operation_id.to_string(),
        line.tool.clone(),
        outcome.as_ref().and_then(|o| o.as_str()).unwrap_or_default().to_owned(),
        who(line),
        shown(&line.requested_by),
        line.expires_at.map(|t| format!("{t:.0}")).unwrap_or_default(),
    ]
}
