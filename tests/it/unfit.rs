//! The real binary when its store, its log, its time or ZIA's budget runs out.

mod child;
mod rekeyed;
mod shared;
mod signals;
mod start;

/// An address of a plain user of the tenant: no administrator, and editable.
fn plain(tenant: &zia_mcp::sandbox::SandboxTenant) -> String {
    let users = tenant.users();
    users.into_iter().find(|u| !u.admin_user && !u.non_editable && u.email.contains('@')).unwrap().email
}
