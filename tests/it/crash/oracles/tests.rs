//! The rig can fail: each oracle finds what it is there for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use zia_mcp::sandbox::{NamedId, StagedChange};

use super::{
    super::facts::{Capture, Intent, Password, Send},
    *,
};

const LEAVER: u64 = 7;
const RENAMED: u64 = 8;
const JOINER: u64 = 9;

fn user(id: u64, name: &str) -> SandboxUser {
    SandboxUser {
        id,
        name: name.into(),
        email: format!("user.{id}@example.com"),
        department: None,
        groups: vec![NamedId { id: 1, name: "Sales".into() }],
        comments: None,
        admin_user: false,
        non_editable: false,
        disabled: false,
    }
}

fn fields(user: &SandboxUser) -> Value {
    json!({"id": user.id, "name": user.name, "email": user.email, "groups": user.groups, "comments": null})
}

fn call(seq: u64, endpoint: Endpoint, path: &str, status: u16, body: Option<Value>) -> JournalEntry {
    JournalEntry {
        seq,
        at_ms: i64::try_from(seq).unwrap() * 100,
        method: endpoint.name().split(' ').next().unwrap().into(),
        path: format!("/api/v1{path}"),
        query: String::new(),
        endpoint,
        status: Some(status),
        applied: write_of(endpoint).is_some(),
        admin: None,
        fault: None,
        note: None,
        body,
    }
}

/// An operation that is done; its write is the call of this number, its activation the next one.
fn op(id: &str, action: Action, subject: u64, details: Value, call: i64) -> Op {
    let mut op = Op {
        id: id.into(),
        action,
        state: State::Done,
        subject: Some(subject),
        details,
        sends: Vec::new(),
        approved_ms: Some(call * 100 - 20),
        used_ms: Some(call * 100 - 10),
    };
    for (write, at) in [(op.main_write(), call), ("activate", call + 1)] {
        op.sends.push(Send { write: write.into(), attempt: 1, begun_ms: at * 100 - 10 });
    }
    op
}

/// A user is deleted, one is renamed and one is created, without a hitch.
fn sound() -> Facts {
    let (old, renamed, joiner) = (user(RENAMED, "Old"), user(RENAMED, "New"), user(JOINER, "Joiner"));
    let activation = || json!({});
    let journal = vec![
        call(1, Endpoint::DeleteUser, "/users/7", 204, None),
        call(2, Endpoint::Activate, "/status/activate", 200, Some(activation())),
        call(3, Endpoint::ReplaceUser, "/users/8", 200, Some(fields(&renamed))),
        call(4, Endpoint::Activate, "/status/activate", 200, Some(activation())),
        call(5, Endpoint::CreateUser, "/users", 200, Some(fields(&joiner))),
        call(6, Endpoint::Activate, "/status/activate", 200, Some(activation())),
        call(7, Endpoint::GetUser, "/users/7", 404, None),
        call(8, Endpoint::Status, "/status", 200, None),
    ];
    let details = |user: &SandboxUser| json!({"user": fields(user), "replacement": fields(user)});
    let operations = vec![
        op("delete", Action::DeprovisionUser, LEAVER, details(&user(LEAVER, "Leaver")), 1),
        op("rename", Action::UpdateUser, RENAMED, details(&renamed), 3),
        op("create", Action::ProvisionUser, JOINER, details(&joiner), 5),
    ];
    let intent = |op: &Op| {
        let send = |s: &Send| Intent {
            operation: op.id.clone(),
            write: s.write.clone(),
            attempt: s.attempt,
            at_ms: s.begun_ms,
        };
        op.sends.iter().map(send).collect::<Vec<_>>()
    };
    let capture =
        |operation: &str, user| Capture { operation: operation.into(), user, taken_ms: 0, opens: Some(user) };
    let people = |all: [SandboxUser; 2]| BTreeMap::from(all.map(|user| (user.id, user)));
    Facts {
        journal,
        captures: vec![capture("delete", LEAVER), capture("rename", RENAMED)],
        intents: operations.iter().flat_map(intent).collect(),
        chain: Ok(()),
        before: people([user(LEAVER, "Leaver"), old]),
        now: people([renamed, joiner]),
        staged: Vec::new(),
        foreign: BTreeSet::new(),
        fresh: operations.iter().map(|op| op.id.clone()).collect(),
        passwords: BTreeMap::from([("create".into(), password("right", "right"))]),
        // Each of these windows is full: the activations come 200 ms after one another.
        limits: vec![(Endpoint::Activate, [3, 3, 3]), (Endpoint::CreateUser, [1, 1, 1])],
        departures: Some(BTreeMap::from([("POST /status/activate".into(), 3), ("POST /users".into(), 1)])),
        operations,
    }
}

fn password(shown: &str, signs_in: &str) -> Password {
    Password { shown: Some(shown.into()), signs_in: Some(signs_in.into()) }
}

/// What is found once the facts have been doctored.
fn doctored(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = sound();
    change(&mut facts);
    broken(&facts)
}

/// Demands that the doctored facts are found to break an invariant.
#[track_caller]
fn finds(name: &str, change: impl FnOnce(&mut Facts)) {
    let found = doctored(change);
    assert!(found.iter().any(|what| what.starts_with(&format!("{name}: "))), "{name} in {found:?}");
}

#[test]
fn a_handoff_is_broken_by_another_password_by_none_and_by_one_of_nobody() {
    let create = |facts: &mut Facts, it| facts.passwords.insert("create".into(), it);
    finds("handoff", |facts| drop(create(facts, password("another", "right"))));
    finds("handoff", |facts| drop(create(facts, Password { shown: None, ..password("", "right") })));
    finds("handoff", |facts| facts.operations[2].state = State::Failed);
}

#[test]
fn nothing_is_found_where_all_is_sound() {
    assert_eq!(doctored(|_| {}), Vec::<String>::new());
}

#[test]
fn i1_is_broken_without_a_before_image_or_an_approval_from_before() {
    finds("I1", |facts| facts.captures.clear());
    finds("I1", |facts| facts.captures[0].opens = None);
    finds("I1", |facts| facts.captures[0].user = RENAMED);
    finds("I1", |facts| facts.captures[1].taken_ms = 301);
    finds("I1", |facts| facts.operations[0].approved_ms = None);
    finds("I1", |facts| facts.operations[0].approved_ms = Some(101));
    finds("I1", |facts| facts.operations[0].used_ms = None);
    finds("I1", |facts| facts.operations.truncate(0));
}

#[test]
fn i2_is_broken_by_a_call_that_is_not_on_record_and_by_one_too_many() {
    finds("I2", |facts| facts.operations[0].sends.clear());
    finds("I2", |facts| facts.operations[1].sends[0].begun_ms = 301);
    let again = |facts: &mut Facts, applied| {
        let mut again = call(9, Endpoint::DeleteUser, "/users/7", 204, None);
        again.applied = applied;
        facts.journal.push(again);
    };
    finds("I2", |facts| again(facts, false));
    finds("I2", |facts| {
        let second = Send { attempt: 2, ..facts.operations[0].sends[0].clone() };
        facts.operations[0].sends.push(second);
        again(facts, true);
    });
    finds("I2", |facts| {
        let four = [1, 2, 3, 4].map(|attempt| Send { attempt, ..facts.operations[0].sends[0].clone() });
        facts.operations[0].sends = four.into();
    });
}

#[test]
fn i3_is_broken_by_any_other_value() {
    for (call, field, value) in [
        (2, "name", json!("Newer")),
        (2, "comments", json!("x")),
        (2, "groups", json!([{"id": 1}, {"id": 2}])),
        (4, "name", json!("Other")),
        (4, "department", json!({"id": 3})),
    ] {
        finds("I3", |facts| facts.journal[call].body.as_mut().unwrap()[field] = value);
    }
}

#[test]
fn i4_and_i10_are_broken_by_a_claim_that_the_tenant_contradicts() {
    finds("I4", |facts| drop(facts.now.insert(LEAVER, user(LEAVER, "Leaver"))));
    finds("I4", |facts| facts.journal[6].status = Some(200));
    finds("I4", |facts| facts.journal[6].seq = 0);
    finds("I4", |facts| facts.journal[0].applied = false);
    finds("I4", |facts| drop(facts.now.insert(RENAMED, user(RENAMED, "Old"))));
    finds("I4", |facts| drop(facts.now.remove(&JOINER)));
    for state in [State::Failed, State::Changed, State::Expired, State::AlreadyDone] {
        finds("I4", |facts| facts.operations[0].state = state);
    }
}

#[test]
fn i5_is_broken_without_an_activation_after_the_write_or_the_status_after_that() {
    finds("I5", |facts| facts.journal[7].seq = 0);
    finds("I5", |facts| facts.journal[7].status = None);
    finds("I5", |facts| facts.journal.retain(|e| e.endpoint != Endpoint::Activate));
    finds("I5", |facts| facts.journal[5].seq = 4);
    let staged = StagedChange { admin: "api".into(), what: "delete user", user_id: Some(LEAVER) };
    finds("I5", |facts| facts.staged.push(staged));
}

#[test]
fn i6_is_broken_by_a_broken_trail_and_by_a_send_that_is_not_in_it() {
    finds("I6", |facts| facts.chain = Err("broken at 3".into()));
    finds("I6", |facts| drop(facts.intents.remove(0)));
    finds("I6", |facts| facts.intents[0].at_ms = 101);
    finds("I6", |facts| facts.intents[0].write = "replace_user".into());
}

#[test]
fn i9_is_broken_by_a_call_too_many_in_any_window_and_by_one_that_nobody_counted() {
    let later = |facts: &mut Facts, ms: i64| {
        let mut again = call(9, Endpoint::Activate, "/status/activate", 200, Some(json!({})));
        again.at_ms = facts.journal[1].at_ms + ms;
        facts.journal.push(again);
        *facts.departures.as_mut().unwrap().get_mut("POST /status/activate").unwrap() += 1;
    };
    for (open, millis) in [(0, 1_000), (1, 60_000), (2, 3_600_000)] {
        let wide = |facts: &mut Facts| {
            let mut limit = [1_000; 3];
            limit[open] = 3;
            facts.limits[0].1 = limit;
        };
        finds("I9", |facts| {
            wide(facts);
            later(facts, millis - 1);
        });
        let apart = doctored(|facts| {
            wide(facts);
            later(facts, millis);
        });
        assert!(!apart.iter().any(|what| what.starts_with("I9")), "{apart:?}");
    }
    finds("I9", |facts| facts.departures.as_mut().unwrap().clear());
    finds("I9", |facts| *facts.departures.as_mut().unwrap().get_mut("POST /status/activate").unwrap() = 2);
    finds("I9", |facts| facts.limits[1].1 = [0, 1, 1]);
}

#[test]
fn i11_is_broken_by_anything_half_way() {
    for state in [State::Approved, State::Sending, State::Unknown, State::Verified, State::NotActive] {
        finds("I11", |facts| facts.operations[0].state = state);
    }
    let waits = doctored(|facts| {
        let waiting = Op {
            id: "asks".into(),
            state: State::Awaiting,
            sends: Vec::new(),
            ..facts.operations[0].clone()
        };
        facts.operations.push(waiting);
    });
    assert_eq!(waits, Vec::<String>::new());
}

#[test]
fn a_user_who_came_went_or_changed_by_no_operation_is_found() {
    finds("known", |facts| drop(facts.now.insert(20, user(20, "Stranger"))));
    finds("known", |facts| drop(facts.before.insert(21, user(21, "Gone"))));
    finds("known", |facts| {
        facts.before.insert(22, user(22, "Old"));
        facts.now.insert(22, user(22, "New"));
    });
}
