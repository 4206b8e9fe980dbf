//! `find_user`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::READS;
use crate::{
    lifecycle::{FindUser, FoundUsers},
    mcp::{
        arguments::{self, Text},
        call::Call,
        reply::{Refusal, structured},
        schema,
    },
};

pub(super) const NAME: &str = "find_user";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// E-mail address (exact), ZIA user id, or a part of a name or address
    query: Text,
    /// Only this department (name or id)
    department: Option<Text>,
    /// Only members of this group (name or id)
    group: Option<Text>,
    /// Users per page
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
    /// Ask ZIA itself, not the index; ZIA allows 40 user lists an hour
    fresh: Option<bool>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Find ZIA users by exact e-mail, id or part of a name. `match` says how: act only on `exact`. \
         `complete: false` means that others may match or absence is not proven.",
        schema::input::<Args>(),
    )
    .with_title("Find users")
    .with_raw_output_schema(schema::output::<FoundUsers>())
    .with_annotations(READS.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    let find = FindUser {
        query: args.query.0,
        department: args.department.map(|t| t.0),
        group: args.group.map(|t| t.0),
        limit: args.limit.unwrap_or(20),
        cursor: args.cursor,
        fresh: args.fresh.unwrap_or(false),
    };
    structured(&call.patiently(call.lifecycle().find_user_for(&call.actor, find)).await?)
}
