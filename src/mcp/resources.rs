//! Resources: the tenant's status, changes of users, operations, before-images.

use std::time::Duration;

use rmcp::{
    ErrorData,
    model::{
        CacheScope, ListResourceTemplatesResult, ListResourcesResult, ReadResourceResponse,
        ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    },
};
use serde_json::{Value, json};

use super::reply::{escape, internal};
use crate::{
    lifecycle::{Code, Failure, Lifecycle},
    model::{Actor, OperationId, Scope},
};

/// The tenant's status.
pub(super) const STATUS: &str = "zia://status";
/// What became of users.
pub(super) const CHANGES: &str = "zia://changes";
const OPERATIONS: &str = "zia://operations/";
const CAPTURES: &str = "zia://captures/";
const JSON: &str = "application/json";

/// The resource of an operation.
pub(super) fn operation_uri(id: &OperationId) -> String {
    format!("{OPERATIONS}{id}")
}

/// The resources that exist without being asked for.
pub(super) fn list(modern: bool) -> ListResourcesResult {
    let status = Resource::new(STATUS, "status")
        .with_title("Tenant status")
        .with_description("Activation, open and unactivated operations, calls left")
        .with_mime_type(JSON);
    let changes = Resource::new(CHANGES, "changes")
        .with_title("Changes of users")
        .with_description("The newest users created, updated and deleted, and by whom; follow it, then call list_user_changes")
        .with_mime_type(JSON);
    let list = ListResourcesResult::with_all_items(vec![status, changes]);
    if modern { list.with_ttl_ms(0).with_cache_scope(CacheScope::Private) } else { list }
}

/// The resources that are named by an id.
pub(super) fn templates(modern: bool) -> ListResourceTemplatesResult {
    let operation = ResourceTemplate::new(format!("{OPERATIONS}{{id}}"), "operation")
        .with_title("Operation")
        .with_description("Where an operation stands")
        .with_mime_type(JSON);
    let capture = ResourceTemplate::new(format!("{CAPTURES}{{id}}"), "capture")
        .with_title("Capture")
        .with_description("A user as ZIA showed it before a delete")
        .with_mime_type(JSON);
    let list = ListResourceTemplatesResult::with_all_items(vec![operation, capture]);
    if modern { list.with_ttl_ms(0).with_cache_scope(CacheScope::Private) } else { list }
}

/// Reads a resource of this caller.
pub(super) async fn read(
    lifecycle: &Lifecycle,
    actor: &Actor,
    uri: &str,
    modern: bool,
) -> Result<ReadResourceResponse, ErrorData> {
    let value = if uri == STATUS {
        lifecycle.tenant_status(actor).await.map(|s| json!(s))
    } else if uri == CHANGES && may_read_changes(actor) {
        lifecycle.newest_user_changes().await.map(|c| json!(c))
    } else if let Some(id) = uri.strip_prefix(OPERATIONS) {
        lifecycle.get_operation(actor, id, Duration::ZERO).await.map(|r| json!(r))
    } else if let Some(id) = uri.strip_prefix(CAPTURES) {
        lifecycle.capture(actor, id).await.map(|c| {
            json!({
                "id": c.info.id, "taken_at": c.info.taken_at, "user_id": c.info.user_id,
                "operation_id": c.info.operation, "row": c.row, "by_id": c.by_id,
            })
        })
    } else {
        return Err(missing(uri));
    };
    let mut value = value.or_else(|failure| unreadable(uri, failure))?;
    escape(&mut value);
    let text = serde_json::to_string(&value).map_err(|_| internal())?;
    let result = ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(JSON)]);
    Ok(if modern { result.with_ttl_ms(0).with_cache_scope(CacheScope::Private) } else { result }.into())
}

/// A failure of an operation is what that operation's resource says; a missing one is none.
fn unreadable(uri: &str, failure: Failure) -> Result<Value, ErrorData> {
    match failure.code {
        Code::NotFound => Err(missing(uri)),
        _ if failure.operation_id.is_some() => Ok(json!({ "error": failure })),
        _ => Err(ErrorData::internal_error(format!("{}; {}", failure.message, failure.next), None)),
    }
}

/// Whether a caller may hear of a resource: of another's operation as little as of none.
///
/// # Errors
/// If the store cannot be read.
pub(super) async fn may_follow(lifecycle: &Lifecycle, actor: &Actor, uri: &str) -> Result<bool, ErrorData> {
    if uri == CHANGES {
        return Ok(may_read_changes(actor));
    }
    let Some(id) = uri.strip_prefix(OPERATIONS) else { return Ok(true) };
    let Ok(id) = id.parse::<OperationId>() else { return Ok(false) };
    match lifecycle.visible(actor, &id).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.code == Code::NotFound => Ok(false),
        Err(failure) => {
            Err(ErrorData::internal_error(format!("{}; {}", failure.message, failure.next), None))
        }
    }
}

/// Whether a caller may know what became of users: what `list_user_changes` needs.
fn may_read_changes(actor: &Actor) -> bool {
    actor.rights.scopes.contains(Scope::UsersRead)
}

fn missing(uri: &str) -> ErrorData {
    ErrorData::resource_not_found("no such resource", Some(json!({ "uri": uri })))
}
