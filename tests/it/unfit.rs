//! The real binary when its store, its log or its time runs out.

mod child;
mod rekeyed;
mod signals;
mod start;

/// An address of a plain user of the tenant: no administrator, and editable.
fn plain(tenant: &zia_mcp::sandbox::SandboxTenant) -> String {
    let users = tenant.users();
    users.into_iter().find(|u| !u.admin_user && !u.non_editable && u.email.contains('@')).unwrap().email
}
