//! `provision_user`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nature;
use crate::{
    lifecycle::{ProvisionUser, Report},
    mcp::{
        arguments::{self, Text},
        call::Call,
        reply::Refusal,
        schema,
    },
};

pub(super) const NAME: &str = "provision_user";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// Display name, 1 to 127 characters
    name: String,
    /// Login address; it cannot be changed later
    email: String,
    /// Department (name or id)
    department: Option<Text>,
    /// Groups (names or ids), at least one
    groups: Vec<Text>,
    /// Comments, at most 10,240 characters
    comments: Option<String>,
    /// Only say what would happen; sends nothing
    dry_run: Option<bool>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Create a ZIA user, verify and activate. An existing user with the same fields is `already_done`; with others \
         the call is refused. A random initial password is set, which no tool shows: see `initial_password`.",
        schema::input::<Args>(),
    )
    .with_title("Provision a user")
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
    let request = ProvisionUser {
        name: args.name,
        email: args.email,
        department: args.department.map(|t| t.0),
        groups: args.groups.into_iter().map(|t| t.0).collect(),
        comments: args.comments,
        dry_run: args.dry_run.unwrap_or(false),
    };
    let begun = call.patiently(call.lifecycle().provision(call.actor.clone(), request)).await?;
    call.finish(begun).await
}
