//! `restore_user`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nature;
use crate::{
    lifecycle::{Report, RestoreUser},
    mcp::{arguments, call::Call, reply::Refusal, schema},
};

pub(super) const NAME: &str = "restore_user";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// Capture id, or exact e-mail of a deleted user (newest capture)
    capture: String,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Create a deleted ZIA user again from its capture, verify and activate. `notes` list what cannot come back: the \
         old id, the password, what referred to the id.",
        schema::input::<Args>(),
    )
    .with_title("Restore a user")
    .with_raw_output_schema(schema::brief_output::<Report>())
    .with_annotations(Nature { read_only: false, destructive: false, idempotent: true }.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    if let Some(answered) = call.answered().await? {
        return Ok(answered);
    }
    let request = RestoreUser { capture: args.capture };
    let begun = call.patiently(call.lifecycle().restore(call.actor.clone(), request)).await?;
    call.finish(begun).await
}
