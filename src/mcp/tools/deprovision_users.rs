//! `deprovision_users`

use rmcp::model::{CallToolResponse, JsonObject, Tool};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Nature;
use crate::{
    lifecycle::{DeprovisionUsers, Report},
    mcp::{
        arguments::{self, Text},
        call::Call,
        reply::Refusal,
        schema,
    },
};

pub(super) const NAME: &str = "deprovision_users";

#[derive(Debug, Deserialize, JsonSchema)]
struct Args {
    /// 1 to 500 exact e-mail addresses or ZIA ids, each user once; list users first
    users: Vec<Text>,
    /// Why; shown to the person who approves
    #[schemars(length(max = 500))]
    reason: Option<String>,
}

pub(super) fn tool() -> Tool {
    Tool::new(
        NAME,
        "Delete several ZIA users for good, as deprovision_user does. A person decides out of band on all at once; \
         `items` tell each user's outcome. Called again, it touches only those who are left.",
        schema::input::<Args>(),
    )
    .with_title("Deprovision several users")
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
    let users = args.users.into_iter().map(|user| user.0).collect();
    let request = DeprovisionUsers { users, reason: args.reason };
    let begun = call.patiently(call.lifecycle().deprovision_users(call.actor.clone(), request)).await?;
    call.finish(begun).await
}
