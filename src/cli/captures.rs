//! `zia-mcp captures`

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Exit, General, output, wiring};
use crate::store::CaptureInfo;

/// Captures listed.
const LISTED: u32 = 100;

#[derive(Debug, Args)]
pub(super) struct Captures {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the before-images, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one before-image, decrypted
    Show {
        /// The capture's id
        id: String,
    },
}

impl Captures {
    /// Lists or shows the before-images of every tenant in the store.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let records = wiring::records(general).await?;
        match self.what {
            What::Show { id } => {
                let capture = records.capture(&id).await.map_err(Exit::no_input)?;
                output::json(&json!({
                    "id": capture.info.id, "tenant": capture.info.tenant, "taken_at": capture.info.taken_at,
                    "user_id": capture.info.user_id, "operation_id": capture.info.operation,
                    "row": capture.row, "by_id": capture.by_id,
                }))
            }
            What::List { json } => {
                let all = records.captures(LISTED).await.map_err(Exit::unavailable)?;
                if json {
                    let rows: Vec<_> = all
                        .iter()
                        .map(|c| {
                            json!({"id": c.id, "tenant": c.tenant, "taken_at": c.taken_at, "user_id": c.user_id,
                                   "operation_id": c.operation, "bytes": c.bytes})
                        })
                        .collect();
                    return output::json(&rows);
                }
                if all.is_empty() {
                    return output::line("no captures yet");
                }
                let heads = ["CAPTURE", "TAKEN", "USER ID", "OPERATION", "TENANT"];
                output::table(heads, &all.iter().map(row).collect::<Vec<_>>())
            }
        }
    }
}

fn row(capture: &CaptureInfo) -> [String; 5] {
    [
        capture.id.to_string(),
        format!("{:.0}", capture.taken_at),
        capture.user_id.to_string(),
        capture.operation.to_string(),
        capture.tenant.clone(),
    ]
}
