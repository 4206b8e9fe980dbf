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
        lines.iter().try_for_each(|l| output::line(row(l)))
    }
}

fn row(line: &OperationLine) -> String {
    let outcome = serde_json::to_value(line.outcome)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default();
    let until = line.expires_at.map(|t| format!("  until {t:.0}")).unwrap_or_default();
    let user = line.user.as_deref().map(shown).unwrap_or_else(|| "-".into());
    format!(
        "{}  {:<18} {:<18} {user}  by {}{until}",
        line.operation_id,
        line.tool,
        outcome,
        shown(&line.requested_by)
    )
}
