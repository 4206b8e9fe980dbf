//! `deprovision_user`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nature;
use crate::{
    lifecycle::{DeprovisionUser, Report},
    mcp::{
        arguments::{self, Text},
        call::Call,
        reply::Refusal,
        schema,
    },
};

pub(super) const NAME: &str = "deprovision_user";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// Exact e-mail address or ZIA id
    user: Text,
    /// Why; shown to the person who approves
    #[schemars(length(max = 500))]
    reason: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Delete one ZIA user for good: capture, ask a person, delete, verify, activate. Nothing is sent before a \
         person approved; no argument can approve. `awaiting_approval` says where the person decides.",
        schema::input::<Args>(),
    )
    .with_title("Deprovision a user")
    .with_raw_output_schema(schema::brief_output::<Report>())
    .with_annotations(Nature { read_only: false, destructive: true, idempotent: true }.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    if let Some(answered) = call.answered().await? {
        return Ok(answered);
    }
    let request = DeprovisionUser { user: args.user.0, reason: args.reason };
    let begun = call.patiently(call.lifecycle().deprovision(call.actor.clone(), request)).await?;
    call.finish(begun).await
}
