//! `list_user_changes`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::READS;
use crate::{
    lifecycle::{ListUserChanges, UserChanges},
    mcp::{
        arguments,
        call::Call,
        reply::{Refusal, structured},
        schema,
    },
};

pub(super) const NAME: &str = "list_user_changes";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// `cursor` of an earlier answer; default: from the oldest change kept
    since: Option<String>,
    /// Changes per answer
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "List changes of users, oldest first: `{kind: created|updated|deleted, user_id, fields?, by: zia-mcp|elsewhere, \
         seen_at}`. Others' changes show once the whole list is read again, daily. Keep `cursor`; go on until `changes` \
         is empty.",
        schema::input::<Args>(),
    )
    .with_title("List changes of users")
    .with_raw_output_schema(schema::brief_output::<UserChanges>())
    .with_annotations(READS.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    let list = ListUserChanges { since: args.since, limit: args.limit.unwrap_or(100) };
    structured(&call.patiently(call.lifecycle().list_user_changes(list)).await?)
}
