//! Completions for the arguments of prompts and resource templates.

use rmcp::{
    ErrorData,
    model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference},
};

use super::reply::internal;
use crate::{
    lifecycle::{Lifecycle, ListNames},
    model::{Actor, Scope},
};

/// The most values that MCP lets a completion list.
const MOST: u32 = 100;

/// What could follow what was typed; nothing where the tenant does not answer.
pub(super) async fn complete(
    lifecycle: &Lifecycle,
    actor: &Actor,
    request: &CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let (name, typed) = (request.argument.name.as_str(), request.argument.value.as_str());
    let values = match (&request.r#ref, name) {
        (Reference::Prompt(_), _) if !actor.rights.scopes.contains(Scope::UsersRead) => Vec::new(),
        (Reference::Prompt(_), "department") => {
            names(lifecycle.list_departments(starting(typed)).await, typed)
        }
        (Reference::Prompt(_), "groups") => {
            // Groups are a list: only the last one is being typed.
            let (before, last) = typed.rsplit_once(',').map_or(("", typed), |(b, l)| (b, l.trim_start()));
            let lead = if before.is_empty() { String::new() } else { format!("{before}, ") };
            let found = names(lifecycle.list_groups(starting(last)).await, last);
            found.into_iter().map(|n| format!("{lead}{n}")).collect()
        }
        (Reference::Resource(r), "id") if r.uri.starts_with("zia://operations/") => {
            operations(lifecycle, actor, typed).await
        }
        _ => Vec::new(),
    };
    let info = CompletionInfo::with_all_values(values).map_err(|_| internal())?;
    Ok(CompleteResult::new(info))
}

fn starting(typed: &str) -> ListNames {
    let query: String = typed.chars().take(127).collect();
    ListNames { query: Some(query), limit: MOST, cursor: None }
}

fn names(found: Result<crate::lifecycle::NamesFound, crate::lifecycle::Failure>, typed: &str) -> Vec<String> {
    let typed = typed.trim().to_lowercase();
    let items = found.map(|f| f.items).unwrap_or_default();
    items.into_iter().map(|n| n.name).filter(|n| n.to_lowercase().starts_with(&typed)).collect()
}

async fn operations(lifecycle: &Lifecycle, actor: &Actor, typed: &str) -> Vec<String> {
    let recent = lifecycle.recent_operations(actor, MOST).await.unwrap_or_default();
    recent.into_iter().map(|o| o.operation_id.to_string()).filter(|id| id.starts_with(typed)).collect()
}
