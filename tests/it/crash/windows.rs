//! The windows of the tenant's limits: set for the servers, and held against the tenant's journal (I9).

use zia_mcp::{model::Per, sandbox::Endpoint};

use super::facts::Facts;

/// Calls to an endpoint in a second, in a minute and in an hour.
pub(super) type Limit = (Endpoint, [u32; 3]);

/// Every endpoint that a server calls and that has limits.
const ENDPOINTS: [Endpoint; 13] = [
    Endpoint::Login,
    Endpoint::Logout,
    Endpoint::ListUsers,
    Endpoint::GetUser,
    Endpoint::CreateUser,
    Endpoint::ReplaceUser,
    Endpoint::DeleteUser,
    Endpoint::BulkDelete,
    Endpoint::ListGroups,
    Endpoint::ListDepartments,
    Endpoint::Status,
    Endpoint::Activate,
    Endpoint::LatestEusa,
];

/// More than many short lives need: they read more lists in a minute than ZIA allows in an hour.
pub(super) fn lifted() -> Vec<Limit> {
    ENDPOINTS.map(|endpoint| (endpoint, [100, 1_000, 10_000])).to_vec()
}

/// Narrower than what three replicas would use, so that they have to wait for one another.
///
/// The seconds are as ZIA documents them, but for reading; minutes are filled, too, and hours allow
/// for a long run.
pub(super) fn narrow() -> Vec<Limit> {
    let of = |endpoint| match endpoint {
        Endpoint::ListUsers => [3, 80, 10_000],
        Endpoint::GetUser => [6, 240, 10_000],
        Endpoint::CreateUser | Endpoint::ReplaceUser => [2, 45, 10_000],
        Endpoint::DeleteUser => [1, 45, 10_000],
        Endpoint::Activate => [1, 10, 200],
        _ => [2, 60, 10_000],
    };
    ENDPOINTS.map(|endpoint| (endpoint, of(endpoint))).to_vec()
}

/// What ZIA documents, times a number, as the tenant enforces it.
///
/// Where ZIA has no such window, the wider one's figure stands.
pub(super) fn documented(times: u32) -> Vec<Limit> {
    let of = |endpoint| match endpoint {
        Endpoint::ListUsers => [1, 10, 40],
        Endpoint::DeleteUser | Endpoint::ListGroups => [1, 400, 400],
        Endpoint::BulkDelete => [1, 1, 4],
        Endpoint::Activate => [10, 10, 40],
        _ => [2, 1_000, 1_000],
    };
    ENDPOINTS.map(|endpoint| (endpoint, of(endpoint).map(|limit| limit * times))).to_vec()
}

/// The limits as the server's settings have them.
pub(super) fn settings(limits: &[Limit]) -> String {
    let line = |(endpoint, [second, minute, hour]): &Limit| {
        format!("\"{endpoint}\" = {{ second = {second}, minute = {minute}, hour = {hour} }}\n")
    };
    let lines: String = limits.iter().map(line).collect();
    format!("[tenant.limits]\n{lines}")
}

/// I9: all servers together kept every window, and counted every call that they sent.
pub(super) fn kept(facts: &Facts) -> Vec<String> {
    let windows =
        facts.limits.iter().flat_map(|(endpoint, limits)| Per::ALL.map(|per| (*endpoint, limits, per)));
    let mut found: Vec<_> = windows
        .filter_map(|(endpoint, limits, per)| {
            let (most, limit) = (fullest(facts, endpoint, per), limit(limits, per));
            let what =
                || format!("I9: {most} calls of {endpoint} within a {}, {limit} allowed", per.as_str());
            (most > limit).then(what)
        })
        .collect();
    found.extend(facts.limits.iter().filter_map(|(endpoint, _)| uncounted(facts, *endpoint)));
    found
}

fn limit(limits: &[u32; 3], per: Per) -> usize {
    let [second, minute, hour] = *limits;
    (match per {
        Per::Second => second,
        Per::Minute => minute,
        Per::Hour => hour,
    }) as usize
}

/// The most calls that any span of a window's length held, by the tenant's clock.
pub(super) fn fullest(facts: &Facts, endpoint: Endpoint, per: Per) -> usize {
    let times = times(facts, endpoint);
    let length = per.micros() / 1_000;
    let first = |last: &i64| times.partition_point(|at| at + length <= *last);
    times.iter().enumerate().map(|(n, last)| n + 1 - first(last)).max().unwrap_or(0)
}

/// Whether some second held as many calls as it may.
pub(super) fn is_filled(facts: &Facts, endpoint: Endpoint) -> bool {
    let of = facts.limits.iter().find(|(other, _)| *other == endpoint);
    of.is_some_and(|(_, limits)| fullest(facts, endpoint, Per::Second) == limit(limits, Per::Second))
}

/// How full the windows were at the most, for people.
pub(super) fn told(facts: &Facts) -> String {
    let full = |(endpoint, limits): &Limit| {
        let most = Per::ALL.map(|per| fullest(facts, *endpoint, per));
        format!("{endpoint}: {most:?} of {limits:?}")
    };
    facts.limits.iter().map(full).collect::<Vec<_>>().join("\n")
}

fn times(facts: &Facts, endpoint: Endpoint) -> Vec<i64> {
    let of = facts.journal.iter().filter(|e| e.endpoint == endpoint);
    let mut times: Vec<_> = of.map(|e| e.at_ms).collect();
    times.sort_unstable();
    times
}

/// Calls of the last hour that are not on the account, which keeps them for longer.
fn uncounted(facts: &Facts, endpoint: Endpoint) -> Option<String> {
    let counted = facts.departures.as_ref()?.get(endpoint.name()).copied().unwrap_or(0);
    let now = facts.journal.last()?.at_ms;
    let hour = Per::Hour.micros() / 1_000;
    let calls = times(facts, endpoint).into_iter().filter(|at| at + hour > now).count();
    (calls > counted).then(|| format!("I9: {calls} calls of {endpoint}, {counted} on the account"))
}
