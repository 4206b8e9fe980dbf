//! The tools: one file each, the same outline in every one.

mod activate;
mod deprovision_user;
mod deprovision_users;
mod find_user;
mod get_operation;
mod list_departments;
mod list_groups;
mod list_user_changes;
mod provision_user;
mod restore_user;
mod tenant_status;
mod update_user;

use rmcp::model::{CallToolResponse, JsonObject, Tool, ToolAnnotations};

use super::{call::Call, reply::Refusal};

/// Whether a tool changes the tenant, as its annotations tell.
#[derive(Clone, Copy)]
struct Nature {
    read_only: bool,
    destructive: bool,
    idempotent: bool,
}

const READS: Nature = Nature { read_only: true, destructive: false, idempotent: true };

impl Nature {
    fn annotations(self) -> ToolAnnotations {
        // All four hints, always: clients treat a missing one as the worst case.
        ToolAnnotations::new()
            .read_only(self.read_only)
            .destructive(self.destructive)
            .idempotent(self.idempotent)
            .open_world(true)
    }
}

/// The tools of a server, by name; a read-only one has no others than those that read.
pub(super) fn all(read_only: bool) -> Vec<Tool> {
    let tools = [
        activate::tool(),
        deprovision_user::tool(),
        deprovision_users::tool(),
        find_user::tool(),
        get_operation::tool(),
        list_departments::tool(),
        list_groups::tool(),
        list_user_changes::tool(),
        provision_user::tool(),
        restore_user::tool(),
        tenant_status::tool(),
        update_user::tool(),
    ];
    tools.into_iter().filter(|tool| !read_only || !writes(tool)).collect()
}

/// Whether a tool may write.
pub(super) fn writes(tool: &Tool) -> bool {
    tool.annotations.as_ref().and_then(|a| a.read_only_hint) != Some(true)
}

/// Carries a call of a known tool out.
pub(super) async fn call(
    call: &Call<'_>,
    arguments: Option<JsonObject>,
) -> Result<CallToolResponse, Refusal> {
    match call.tool.name.as_ref() {
        activate::NAME => activate::call(call, arguments).await,
        deprovision_user::NAME => deprovision_user::call(call, arguments).await,
        deprovision_users::NAME => deprovision_users::call(call, arguments).await,
        find_user::NAME => find_user::call(call, arguments).await,
        get_operation::NAME => get_operation::call(call, arguments).await,
        list_departments::NAME => list_departments::call(call, arguments).await,
        list_groups::NAME => list_groups::call(call, arguments).await,
        list_user_changes::NAME => list_user_changes::call(call, arguments).await,
        provision_user::NAME => provision_user::call(call, arguments).await,
        restore_user::NAME => restore_user::call(call, arguments).await,
        tenant_status::NAME => tenant_status::call(call, arguments).await,
        update_user::NAME => update_user::call(call, arguments).await,
        _ => Err(Refusal::unknown_tool()),
    }
}
