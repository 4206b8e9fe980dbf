//! `zia-mcp captures show`

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, General, output, wiring};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The capture's id
    id: String,
}

impl Show {
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let records = wiring::records(general).await?;
        let capture = records.capture(&self.id).await.map_err(Exit::no_input)?;
        output::json(&json!({
            "id": capture.info.id, "tenant": capture.info.tenant, "taken_at": capture.info.taken_at,
            "user_id": capture.info.user_id, "operation_id": capture.info.operation,
            "row": capture.row, "by_id": capture.by_id,
        }))
    }
}
