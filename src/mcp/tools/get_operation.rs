//! `get_operation`

use std::time::Duration;

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::READS;
use crate::{
    lifecycle::{Failure, Report},
    mcp::{
        arguments,
        call::Call,
        reply::{Refusal, structured},
        schema,
    },
};

pub(super) const NAME: &str = "get_operation";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// From the result of a writing tool
    operation_id: String,
    /// How long to wait for it to end
    #[schemars(range(min = 0, max = 45))]
    wait_seconds: Option<u32>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Where an operation stands, in the shape of the tool that began it; follows one that is in progress or waits \
         for a person.",
        schema::input::<Args>(),
    )
    .with_title("Get an operation")
    .with_raw_output_schema(schema::output::<Report>())
    .with_annotations(READS.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    let wait = args.wait_seconds.unwrap_or(0);
    if wait > 45 {
        return Err(Failure::argument("wait_seconds", "wait_seconds is 0 to 45").into());
    }
    let wait = Duration::from_secs(wait.into());
    structured(&call.patiently(call.lifecycle().get_operation(&call.actor, &args.operation_id, wait)).await?)
}
