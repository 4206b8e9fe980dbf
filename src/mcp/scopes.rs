//! Which scope a tool needs.

use crate::model::{Action, Scope, Scopes};

/// The scope without which a tool is neither listed nor called; none where any one of MCP's will do.
fn scope_of(tool: &str) -> Option<Scope> {
    match (tool.parse::<Action>(), tool) {
        (Ok(action), _) => Some(action.scope()),
        // Each caller sees its own operations, so whoever began one can follow it.
        (Err(()), "get_operation" | "tenant_status") => None,
        (Err(()), _) => Some(Scope::UsersRead),
    }
}

/// Whether a caller with these scopes may call a tool.
pub fn may_call(tool: &str, scopes: Scopes) -> bool {
    scope_of(tool).map_or(scopes.open_mcp(), |scope| scopes.contains(scope))
}

/// What a caller with these scopes would need to call a tool as well as what it can call now.
pub fn needed(tool: &str, scopes: Scopes) -> Scopes {
    scopes.with(scope_of(tool).unwrap_or(Scope::UsersRead))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tools;

    #[test]
    fn t14_every_tool_that_writes_needs_the_scope_of_its_action() {
        for tool in tools::all(false) {
            let name = tool.name.as_ref();
            assert_eq!(tools::writes(&tool), name.parse::<Action>().is_ok(), "{name}");
            assert!(!may_call(name, Scopes::default()), "{name}");
            for scope in Scope::ALL {
                let one = Scopes::default().with(scope);
                assert!(may_call(name, needed(name, one)), "{name} {one}");
                assert!(needed(name, one).contains(scope), "{name} {one}");
            }
        }
        let only = |scope: Scope| {
            let one = Scopes::default().with(scope);
            let names = tools::all(false).into_iter().filter(|t| may_call(&t.name, one));
            names.map(|t| t.name.into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            only(Scope::UsersRead),
            "find_user get_operation list_departments list_groups list_user_changes tenant_status"
        );
        assert_eq!(
            only(Scope::UsersWrite),
            "get_operation provision_user restore_user tenant_status update_user"
        );
        assert_eq!(
            only(Scope::UsersDelete),
            "deprovision_user deprovision_users get_operation tenant_status"
        );
        assert_eq!(only(Scope::Activate), "activate get_operation tenant_status");
        assert_eq!(only(Scope::Approve), "get_operation tenant_status");
        assert_eq!(only(Scope::AuditRead), "get_operation tenant_status");
        assert_eq!(only(Scope::MetricsRead), "");
    }
}
