//! The invariants (guardrails) as functions over what is known; each gives what it finds broken.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;
use zia_mcp::{
    model::{Action, State},
    sandbox::{Endpoint, JournalEntry, SandboxUser},
    store::MAX_SENDS,
};

use super::{
    facts::{Facts, Op, write_of},
    windows,
};

/// Everything that is broken, if anything is.
pub(super) fn broken(facts: &Facts) -> Vec<String> {
    let oracles = [
        captured,
        counted,
        as_approved,
        truthful,
        active,
        recorded,
        at_rest,
        known,
        handed_off,
        windows::kept,
    ];
    oracles.iter().flat_map(|oracle| oracle(facts)).collect()
}

fn told(name: &str, what: impl std::fmt::Display) -> String {
    format!("{name}: {what}")
}

/// Statuses with which ZIA says that it did not process a call.
const UNPROCESSED: [u16; 5] = [401, 403, 409, 412, 429];

/// I1: no change or deletion of a user without a before-image that opens, and what else it takes.
pub(super) fn captured(facts: &Facts) -> Vec<String> {
    let risky = |e: &&JournalEntry| matches!(e.endpoint, Endpoint::DeleteUser | Endpoint::ReplaceUser);
    facts.writes().filter(risky).filter_map(|e| uncovered(facts, e)).map(|what| told("I1", what)).collect()
}

fn uncovered(facts: &Facts, entry: &JournalEntry) -> Option<String> {
    let call = format!("{} {} at {}", entry.method, entry.path, entry.at_ms);
    let Some(op) = facts.sender(entry) else { return Some(format!("{call} without a send on record")) };
    let held = facts.captures.iter().any(|c| {
        c.operation == op.id
            && Some(c.user) == op.subject
            && c.opens == op.subject
            && c.taken_ms <= entry.at_ms
    });
    if !held {
        return Some(format!("{call} without a before-image"));
    }
    let given = |at: Option<i64>| at.is_some_and(|at| at <= entry.at_ms);
    let approved = given(op.approved_ms) && given(op.used_ms);
    (op.action.deletes() && !approved).then(|| format!("{call} without an approval"))
}

/// I2: no call without a send on record, three of a write at most, and one effect.
pub(super) fn counted(facts: &Facts) -> Vec<String> {
    let unsent = facts.writes().filter(|e| facts.sender(e).is_none());
    let mut found: Vec<_> =
        unsent.map(|e| told("I2", format!("{} {} unrecorded", e.method, e.path))).collect();
    for op in &facts.operations {
        let sends = op.sends.iter().filter(|s| s.write == op.main_write()).count();
        let most = usize::try_from(MAX_SENDS).unwrap();
        let processed = |e: &&JournalEntry| e.status.is_none_or(|s| !UNPROCESSED.contains(&s));
        let calls = facts.calls_of(op).filter(processed).count();
        let effects = facts.calls_of(op).filter(|e| e.applied).count();
        if sends > most || calls > sends {
            found.push(told("I2", format!("{} was sent {calls} times, {sends} on record", op.id)));
        }
        // Another administrator may have undone what then is done again.
        if effects > 1 && op.action != Action::Activate && !facts.is_foreign(op) {
            found.push(told("I2", format!("{} took effect {effects} times", op.id)));
        }
    }
    found
}

/// I3: what arrived is what the operation says, to the field.
pub(super) fn as_approved(facts: &Facts) -> Vec<String> {
    let differs = |e: &&JournalEntry| {
        let wanted = facts.sender(e).and_then(wanted);
        wanted.is_some_and(|w| e.body.as_ref().is_none_or(|body| !same_fields(body, w)))
    };
    let with_body = |e: &&JournalEntry| matches!(e.endpoint, Endpoint::CreateUser | Endpoint::ReplaceUser);
    let others = facts.writes().filter(with_body).filter(differs);
    others
        .map(|e| told("I3", format!("{} {} carried other values than its operation", e.method, e.path)))
        .collect()
}

/// The fields that an operation writes.
fn wanted(op: &Op) -> Option<&Value> {
    match op.action {
        Action::ProvisionUser | Action::RestoreUser => Some(&op.details["user"]),
        Action::UpdateUser => Some(&op.details["replacement"]),
        _ => None,
    }
}

fn same_fields(sent: &Value, wanted: &Value) -> bool {
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let texts = ["name", "email", "comments"].iter().all(|field| text(sent, field) == text(wanted, field));
    texts && sent["department"]["id"] == wanted["department"]["id"] && groups(sent) == groups(wanted)
}

fn groups(of: &Value) -> BTreeSet<u64> {
    of["groups"].as_array().into_iter().flatten().filter_map(|g| g["id"].as_u64()).collect()
}

/// I4, I10: what is claimed of a user is so, by a reading after the write; and nothing is left unknown.
pub(super) fn truthful(facts: &Facts) -> Vec<String> {
    let fresh = facts.operations.iter().filter(|op| facts.fresh.contains(&op.id));
    let fresh = fresh.filter(|op| op.action != Action::Activate && !facts.is_foreign(op));
    fresh.filter_map(|op| untrue(facts, op).map(|what| told("I4", format!("{}: {what}", op.id)))).collect()
}

fn untrue(facts: &Facts, op: &Op) -> Option<&'static str> {
    let effect = facts.calls_of(op).find(|e| e.applied);
    if !op.claims_effect() {
        return effect.map(|_| "says that nothing was done, and something was");
    }
    let Some(effect) = effect else { return Some("says that it was done, and nothing was") };
    match op.action {
        Action::DeprovisionUser if op.subject.is_some_and(|id| facts.now.contains_key(&id)) => {
            Some("says deleted, and the user is there")
        }
        Action::DeprovisionUser => (!read_after(facts, effect)).then_some("says deleted, and nobody looked"),
        _ => {
            let user = facts.now.values().find(|user| user.email == op.email());
            let so = user.zip(wanted(op)).is_some_and(|(user, wanted)| is_as(user, wanted));
            (!so).then_some("says that the user is as asked, and they are not")
        }
    }
}

/// Whether the user of a deletion was looked for after it, with an answer.
fn read_after(facts: &Facts, deletion: &JournalEntry) -> bool {
    let looked = |e: &JournalEntry| match e.endpoint {
        Endpoint::GetUser => e.path == deletion.path && e.status.is_some_and(|s| s == 404 || s == 400),
        Endpoint::ListUsers => e.status == Some(200),
        _ => false,
    };
    facts.journal.iter().any(|e| e.seq > deletion.seq && looked(e))
}

fn is_as(user: &SandboxUser, wanted: &Value) -> bool {
    let own: BTreeSet<u64> = user.groups.iter().map(|g| g.id).collect();
    user.name == wanted["name"].as_str().unwrap_or_default()
        && own == groups(wanted)
        && user.department.as_ref().map(|d| d.id) == wanted["department"]["id"].as_u64()
}

/// I5: `done` rests on an activation after the last write, and on the status read after that.
pub(super) fn active(facts: &Facts) -> Vec<String> {
    let done = facts.operations.iter().filter(|op| op.state == State::Done && op.action != Action::Activate);
    done.filter_map(|op| inactive(facts, op).map(|what| told("I5", format!("{}: {what}", op.id)))).collect()
}

fn inactive(facts: &Facts, op: &Op) -> Option<&'static str> {
    let last = facts.calls_of(op).filter(|e| e.applied).map(|e| e.seq).max().unwrap_or(0);
    let activates = |e: &&JournalEntry| e.endpoint == Endpoint::Activate && e.seq > last;
    let Some(activation) = facts.journal.iter().filter(activates).map(|e| e.seq).min() else {
        return Some("done without an activation after its write");
    };
    let read =
        |e: &JournalEntry| e.endpoint == Endpoint::Status && e.status == Some(200) && e.seq > activation;
    if !facts.journal.iter().any(read) {
        return Some("done without the status read after the activation");
    }
    let fresh = facts.fresh.contains(&op.id);
    let staged = fresh && facts.staged.iter().any(|c| c.user_id.is_some() && c.user_id == op.subject);
    staged.then_some("done, and still staged")
}

/// I6: the trail holds, and every send and every call stands in it from before.
pub(super) fn recorded(facts: &Facts) -> Vec<String> {
    let mut found: Vec<_> = facts.chain.as_ref().err().map(|what| told("I6", what)).into_iter().collect();
    for op in &facts.operations {
        let unrecorded = op.sends.iter().filter(|s| {
            !facts
                .intents
                .iter()
                .any(|i| i.operation == op.id && i.write == s.write && i.attempt == s.attempt)
        });
        found.extend(
            unrecorded.map(|s| told("I6", format!("{}: {} {} unaudited", op.id, s.write, s.attempt))),
        );
    }
    let late = facts.writes().filter(|e| {
        let op = facts.sender(e).map(|op| op.id.as_str());
        !facts.intents.iter().any(|i| {
            Some(i.operation.as_str()) == op
                && Some(i.write.as_str()) == write_of(e.endpoint)
                && i.at_ms <= e.at_ms
        })
    });
    found.extend(late.map(|e| told("I6", format!("{} {} without a record before it", e.method, e.path))));
    found
}

/// Who is created has the password that a person is shown; nobody is shown one of a user who is not there.
pub(super) fn handed_off(facts: &Facts) -> Vec<String> {
    let told = |id: &str, what: &str| Some(told("handoff", format!("{id}: {what}")));
    let of = facts.operations.iter().filter_map(|op| Some((op, facts.passwords.get(&op.id)?)));
    of.filter(|(op, _)| !facts.is_foreign(op))
        .filter_map(|(op, password)| match (op.claims_effect(), &password.shown) {
            (true, None) => told(&op.id, "the password is lost"),
            (true, shown) if *shown != password.signs_in => told(&op.id, "another password was shown"),
            (false, Some(_)) => told(&op.id, "a password was shown, and nobody was created"),
            _ => None,
        })
        .collect()
}

/// I11: nothing is under way, and nothing unknown, but what waits for a person.
pub(super) fn at_rest(facts: &Facts) -> Vec<String> {
    let open = facts.operations.iter().filter(|op| !op.state.is_ended() && op.state != State::Awaiting);
    open.map(|op| told("I11", format!("{} is {}", op.id, op.state.as_str()))).collect()
}

/// Every user who came, went or changed did so by an operation that says so.
pub(super) fn known(facts: &Facts) -> Vec<String> {
    let ids: BTreeSet<_> = facts.before.keys().chain(facts.now.keys()).collect();
    let strange = ids.into_iter().filter_map(|id| {
        let (before, now) = (facts.before.get(id), facts.now.get(id));
        let user = now.or(before)?;
        let explained = before == now || facts.foreign.contains(&user.email) || explained(facts, before, now);
        (!explained).then(|| told("known", format!("user {id} changed, and no operation says so")))
    });
    strange.collect()
}

fn explained(facts: &Facts, before: Option<&SandboxUser>, now: Option<&SandboxUser>) -> bool {
    let says = |write: &str, id: u64, email: &str| {
        let claims = facts.operations.iter().filter(|op| op.claims_effect() && op.main_write() == write);
        claims.into_iter().any(|op| op.subject == Some(id) || (write == "create_user" && op.email() == email))
    };
    match (before, now) {
        (Some(user), None) => says("delete_user", user.id, &user.email),
        (None, Some(user)) => says("create_user", user.id, &user.email),
        (Some(user), Some(_)) => says("replace_user", user.id, &user.email),
        (None, None) => true,
    }
}
