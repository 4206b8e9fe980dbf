//! `zia-mcp captures list`

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Exit, General, output, wiring},
    store::CaptureInfo,
};

/// Captures listed.
const LISTED: u32 = 100;

#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let records = wiring::records(general).await?;
        let all = records.captures(LISTED).await.map_err(Exit::unavailable)?;
        if self.json {
            let rows: Vec<_> = all
                .iter()
                .map(|c| {
                    json!({"id": c.id, "tenant": c.tenant, "taken_at": c.taken_at, "user_id": c.user_id,
                           "operation_id": c.operation, "bytes": c.bytes, "purged_at": c.purged_at})
                })
                .collect();
            return output::json(&rows);
        }
        if all.is_empty() {
            return output::line("no captures yet");
        }
        let heads = ["CAPTURE", "TAKEN", "USER ID", "OPERATION", "TENANT", "PURGED"];
        output::table(heads, &all.iter().map(row).collect::<Vec<_>>())
    }
}

fn row(capture: &CaptureInfo) -> [String; 6] {
    [
        capture.id.to_string(),
        format!("{:.0}", capture.taken_at),
        capture.user_id.to_string(),
        capture.operation.to_string(),
        capture.tenant.clone(),
        capture.purged_at.map(|at| format!("{at:.0}")).unwrap_or_default(),
    ]
}
