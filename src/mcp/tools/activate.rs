//! `activate`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nature;
use crate::{
    lifecycle::Report,
    mcp::{arguments, call::Call, reply::Refusal, schema},
};

pub(super) const NAME: &str = "activate";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Publish staged changes of the whole tenant. Writing tools activate by themselves: call this only where they \
         answered `applied_not_active`. Asks a person first if other administrators' changes wait.",
        schema::input::<Args>(),
    )
    .with_title("Activate staged changes")
    .with_raw_output_schema(schema::brief_output::<Report>())
    .with_annotations(Nature { read_only: false, destructive: false, idempotent: true }.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let Args {} = arguments::read(&call.tool.input_schema, arguments)?;
    if let Some(answered) = call.answered().await? {
        return Ok(answered);
    }
    let begun = call.patiently(call.lifecycle().activate(call.actor.clone())).await?;
    call.finish(begun).await
}
