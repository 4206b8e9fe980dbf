//! `list_departments`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::READS;
use crate::{
    lifecycle::{ListNames, NamesFound},
    mcp::{
        arguments,
        call::Call,
        reply::{Refusal, structured},
        schema,
    },
};

pub(super) const NAME: &str = "list_departments";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// A part of the name
    query: Option<String>,
    /// Items per page
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "List the tenant's departments, or those whose name holds a text.",
        schema::input::<Args>(),
    )
    .with_title("List departments")
    .with_raw_output_schema(schema::output::<NamesFound>())
    .with_annotations(READS.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    let list = ListNames { query: args.query, limit: args.limit.unwrap_or(100), cursor: args.cursor };
    structured(&call.patiently(call.lifecycle().list_departments(list)).await?)
}
