//! `tenant_status`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::READS;
use crate::{
    lifecycle::TenantStatus,
    mcp::{
        arguments,
        call::Call,
        reply::{Refusal, structured},
        schema,
    },
};

pub(super) const NAME: &str = "tenant_status";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Whether changes wait for activation, your open and unactivated operations, calls left per endpoint, warnings.",
        schema::input::<Args>(),
    )
    .with_title("Tenant status")
    .with_raw_output_schema(schema::brief_output::<TenantStatus>())
    .with_annotations(READS.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let Args {} = arguments::read(&call.tool.input_schema, arguments)?;
    structured(&call.patiently(call.lifecycle().tenant_status(&call.actor)).await?)
}
