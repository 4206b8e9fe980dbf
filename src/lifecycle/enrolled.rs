//! Whether those who approved are approvers still (guardrails T22, T37).

use std::collections::HashMap;

use super::{failure::Failure, report::Approval};
use crate::store::Store;

/// Channels on which an approver is one who is enrolled with a one-time code.
const BY_CODE: [&str; 2] = ["code", "page"];

/// The approvals of those who were enrolled when they gave them, and are.
///
/// Whoever was removed and enrolled again has approved nothing yet.
///
/// # Errors
/// `STORE_UNAVAILABLE`.
pub(crate) async fn standing(store: &Store, approvals: Vec<Approval>) -> Result<Vec<Approval>, Failure> {
    let by_code = |a: &Approval| BY_CODE.contains(&a.channel.as_str());
    if !approvals.iter().any(by_code) {
        return Ok(approvals);
    }
    let since: HashMap<_, _> =
        store.approvers().await?.into_iter().map(|a| (a.name.to_lowercase(), a.enrolled_at)).collect();
    let may = |a: &Approval| since.get(&a.by.to_lowercase()).is_some_and(|since| *since <= a.at);
    Ok(approvals.into_iter().filter(|a| !by_code(a) || may(a)).collect())
}
