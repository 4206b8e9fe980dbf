//! `update_user`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nature;
use crate::{
    lifecycle::{Failure, Report, UpdateUser},
    mcp::{
        arguments::{self, Text},
        call::Call,
        reply::Refusal,
        schema,
    },
};

pub(super) const NAME: &str = "update_user";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// Exact e-mail address or ZIA id
    user: Text,
    /// New display name
    name: Option<String>,
    /// New department (name or id)
    department: Option<Text>,
    /// Groups to add (names or ids)
    add_groups: Option<Vec<Text>>,
    /// Groups to take away; one has to stay
    remove_groups: Option<Vec<Text>>,
    /// New comments; "" clears them
    comments: Option<String>,
    /// Only say what would change
    dry_run: Option<bool>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Change a ZIA user: capture, write, verify, activate. What is not named stays. The e-mail address never changes.",
        schema::input::<Args>(),
    )
    .with_title("Update a user")
    .with_raw_output_schema(schema::brief_output::<Report>())
    .with_annotations(Nature { read_only: false, destructive: true, idempotent: true }.annotations())
}

pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    if arguments.as_ref().is_some_and(|a| a.contains_key("email")) {
        return Err(Failure::argument("email", "ZIA keeps the e-mail address for life").into());
    }
    let args: Args = arguments::read(&call.tool.input_schema, arguments)?;
    if let Some(answered) = call.answered().await? {
        return Ok(answered);
    }
    let all = |names: Option<Vec<Text>>| names.into_iter().flatten().map(|t| t.0).collect();
    let request = UpdateUser {
        user: args.user.0,
        name: args.name,
        department: args.department.map(|t| t.0),
        add_groups: all(args.add_groups),
        remove_groups: all(args.remove_groups),
        comments: args.comments,
        dry_run: args.dry_run.unwrap_or(false),
    };
    let begun = call.patiently(call.lifecycle().update(call.actor.clone(), request)).await?;
    call.finish(begun).await
}
