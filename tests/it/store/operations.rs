//! Operations: compare-and-swap, joining, listing.

use serde_json::json;
use zia_mcp::{
    model::{Action, Digest, Email, Operation, State},
    store::{NewOperation, Store, StoreError, SubjectKey, Which},
};

use super::{Home, TENANT, actor, approval, capture, details, entry, user};

#[tokio::test]
async fn an_operation_reads_back_as_it_was_made() {
    let home = Home::new();
    let store = home.open().await;
    let new = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(42)));
    let made = store.create_operation(new, entry()).await.unwrap();
    store.close().await;
    let read = home.open().await.operation(&made.id).await.unwrap().unwrap();
    assert_eq!(format!("{made:?}"), format!("{read:?}"));
    assert_eq!((read.version, read.actor, read.details), (1, actor(), details()));
}

#[tokio::test]
async fn a_change_that_saw_an_older_version_is_lost() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let next = store.advance(&op, State::Awaiting, json!({"n": 1}), entry()).await.unwrap();
    assert_eq!((next.version, &next.details), (2, &json!({"n": 1})));
    let late = store.advance(&op, State::Declined, json!({}), entry()).await;
    assert_eq!(late.unwrap_err(), StoreError::Conflict);
    assert_eq!(store.operation(&op.id).await.unwrap().unwrap().details, json!({"n": 1}));
}

#[tokio::test]
async fn of_many_changes_at_once_one_wins_and_only_it_is_on_record() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let before = store.audit_records(TENANT, 1, 100).await.unwrap().len();
    let tries = (0..50).map(|_| {
        let (store, op) = (store.clone(), op.clone());
        tokio::spawn(async move { store.advance(&op, State::Declined, json!({}), entry()).await })
    });
    let results = futures::future::join_all(tries).await;
    let won = results.into_iter().filter(|r| r.as_ref().unwrap().is_ok()).count();
    assert_eq!(won, 1);
    assert_eq!(store.audit_records(TENANT, 1, 100).await.unwrap().len(), before + 1);
}

#[tokio::test]
async fn nothing_follows_an_end_and_no_shortcut_leads_to_a_send() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    for to in [State::Approved, State::Sending] {
        assert_eq!(store.advance(&op, to, details(), entry()).await.unwrap_err(), StoreError::NotApproved);
    }
    let op = store.advance(&op, State::Declined, details(), entry()).await.unwrap();
    for to in State::ALL {
        assert!(store.advance(&op, to, details(), entry()).await.is_err(), "{to:?}");
    }
    assert_eq!(
        store.approve(&op, approval(), details(), false, entry()).await.unwrap_err(),
        StoreError::Conflict
    );
}

#[tokio::test]
async fn an_approved_operation_may_stay_so_and_no_claim_makes_another_one_approved() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let claimed = zia_mcp::model::Operation { state: State::Approved, ..op.clone() };
    let made = store.advance(&claimed, State::Approved, details(), entry()).await;
    assert_eq!(made.unwrap_err(), StoreError::NotApproved);
    let approved = store.approve(&op, approval(), details(), false, entry()).await.unwrap();
    let more = store.advance(&approved, State::Approved, json!({"n": 2}), entry()).await.unwrap();
    assert_eq!((more.state, more.details), (State::Approved, json!({"n": 2})));
    let sent = store.advance(&approved, State::Sending, details(), entry()).await;
    assert!(sent.is_err(), "{sent:?}");
}

#[tokio::test]
async fn an_operation_cannot_begin_in_a_state_that_claims_a_send() {
    let home = Home::new();
    let store = home.open().await;
    for state in State::ALL {
        let made = store.create_operation(home.new_operation(Action::Activate, state, None), entry()).await;
        let claims = matches!(
            state,
            State::Sending
                | State::Acked
                | State::Verified
                | State::Activating
                | State::Done
                | State::NotActive
                | State::Unknown
        );
        assert_eq!(made.is_err(), claims, "{state:?}");
    }
}

#[tokio::test]
async fn f31_who_was_just_made_may_be_named_by_a_later_question_and_by_what_made_them() {
    let home = Home::new();
    let store = home.open().await;
    for (id, action) in [(42, Action::RestoreUser), (43, Action::ProvisionUser)] {
        let made = store.create_operation(home.new_operation(action, State::Awaiting, None), entry()).await;
        let later = home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(id)));
        store.create_operation(later, entry()).await.unwrap();
        let named = Operation { subject: Some(user(id)), ..made.unwrap() };
        let kept = store.advance(&named, State::Awaiting, details(), entry()).await.unwrap();
        assert_eq!(kept.subject, Some(user(id)), "{action:?}");
    }
}

#[tokio::test]
async fn f31_one_open_change_of_a_user_at_a_time() {
    let home = Home::new();
    let store = home.open().await;
    let again = || home.new_operation(Action::DeprovisionUser, State::Awaiting, Some(user(42)));
    let op = home.awaiting(&store).await;
    assert_eq!(store.create_operation(again(), entry()).await.unwrap_err(), StoreError::Conflict);
    assert_eq!(store.open_for_subject(TENANT, user(42)).await.unwrap().unwrap().id, op.id);
    let elsewhere = NewOperation { tenant: "another.net/1".into(), ..again() };
    store.create_operation(elsewhere, entry()).await.unwrap();
    store.advance(&op, State::Expired, details(), entry()).await.unwrap();
    assert!(store.open_for_subject(TENANT, user(42)).await.unwrap().is_none());
    store.create_operation(again(), entry()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_operation_holds_its_user_and_an_unactivated_one_does_not() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.approved(&store).await;
    let op = store.advance(&op, State::Unknown, details(), entry()).await.unwrap();
    assert!(store.open_for_subject(TENANT, user(42)).await.unwrap().is_some());
    let op = store.advance(&op, State::NotActive, details(), entry()).await.unwrap();
    assert!(store.open_for_subject(TENANT, user(42)).await.unwrap().is_none());
    let ids = |ops: Vec<zia_mcp::model::Operation>| ops.into_iter().map(|o| o.id).collect::<Vec<_>>();
    assert_eq!(ids(store.operations(Some(TENANT), Which::Unactivated, 9).await.unwrap()), [op.id]);
    assert_eq!(ids(store.operations(Some(TENANT), Which::Open, 9).await.unwrap()), []);
}

#[tokio::test]
async fn an_equal_request_of_the_same_caller_joins_until_it_lapses() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    let join = async |tenant: &str, caller: &str, action, arguments: &[u8]| {
        store.joinable(tenant, caller, action, &Digest::of(arguments)).await.unwrap().map(|o| o.id)
    };
    assert_eq!(join(TENANT, "local", Action::DeprovisionUser, b"arguments").await, Some(op.id));
    assert_eq!(join("another", "local", Action::DeprovisionUser, b"arguments").await, None);
    assert_eq!(join(TENANT, "Local", Action::DeprovisionUser, b"arguments").await, None);
    assert_eq!(join(TENANT, "local", Action::ProvisionUser, b"arguments").await, None);
    assert_eq!(join(TENANT, "local", Action::DeprovisionUser, b"others").await, None);
    assert_eq!(store.count_awaiting(TENANT, "local").await.unwrap(), 1);
    assert_eq!(store.count_awaiting(TENANT, "another").await.unwrap(), 0);
    home.pass(15 * 60);
    assert_eq!(join(TENANT, "local", Action::DeprovisionUser, b"arguments").await, None);
    assert_eq!(store.count_awaiting(TENANT, "local").await.unwrap(), 0);
}

#[tokio::test]
async fn operations_are_listed_newest_first_even_when_the_clock_stands() {
    let home = Home::new();
    let store = home.open().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        let new = home.new_operation(Action::Activate, State::Awaiting, None);
        made.insert(0, store.create_operation(new, entry()).await.unwrap().id);
    }
    let listed = store.operations(None, Which::Recent, 3).await.unwrap();
    assert_eq!(listed.into_iter().map(|o| o.id).collect::<Vec<_>>(), made[..3]);
    assert!(store.operations(Some("another"), Which::Recent, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn f33_an_approval_is_recorded_once_and_in_time_only() {
    let home = Home::new();
    let store = home.open().await;
    let op = home.awaiting(&store).await;
    assert_eq!(store.approval(&op.id).await.unwrap(), None);
    let approved = store.approve(&op, approval(), details(), false, entry()).await.unwrap();
    assert_eq!(approved.state, State::Approved);
    let again = store.approve(&approved, approval(), details(), false, entry()).await;
    assert_eq!(again.unwrap_err(), StoreError::Conflict);
    let record = store.approval(&op.id).await.unwrap().unwrap();
    assert_eq!((record.by.as_str(), record.channel.as_str()), ("Olga Approver", "form"));
    assert_eq!((record.digest, record.at, record.used_at), (approval().digest, home.now(), None));

    let new = home.new_operation(Action::Activate, State::Awaiting, None);
    let late = store.create_operation(new, entry()).await.unwrap();
    home.pass(15 * 60);
    assert_eq!(
        store.approve(&late, approval(), details(), false, entry()).await.unwrap_err(),
        StoreError::Conflict
    );
    assert_eq!(store.approval(&late.id).await.unwrap(), None);
}

async fn deleted(store: &Store, email: &str) -> bool {
    let key = SubjectKey::Email(email.into());
    store.deleted_by_us(TENANT, &key).await.unwrap().is_some()
}

#[tokio::test]
async fn a_deletion_is_remembered_by_id_and_address_until_the_user_is_made_again() {
    let home = Home::new();
    let store = home.open().await;
    let mut new = home.new_operation(Action::DeprovisionUser, State::Approved, Some(user(42)));
    new.details = json!({});
    let op = store.create_operation(new, entry()).await.unwrap();
    capture(&store, &op, super::RAW).await;
    assert!(!deleted(&store, "jane@example.com").await);
    let op = store.advance(&op, State::Verified, json!({}), entry()).await.unwrap();
    assert!(deleted(&store, "Jane@Example.com").await, "by the capture");
    assert!(!deleted(&store, "jan@example.com").await);
    let by_id = SubjectKey::Id(user(42));
    assert_eq!(store.deleted_by_us(TENANT, &by_id).await.unwrap().unwrap().id, op.id);
    assert!(store.deleted_by_us("another", &by_id).await.unwrap().is_none());

    let address: Email = "jane@example.com".parse().unwrap();
    let mut new = home.new_operation(Action::ProvisionUser, State::Approved, None);
    new.details = json!({"user": {"email": address}});
    let mut again = store.create_operation(new, entry()).await.unwrap();
    assert!(deleted(&store, "jane@example.com").await, "not made yet");
    again.subject = Some(user(77));
    let again = store.advance(&again, State::Verified, json!({}), entry()).await.unwrap();
    assert_eq!(again.subject, Some(user(77)));
    assert!(!deleted(&store, "jane@example.com").await);
    assert!(store.deleted_by_us(TENANT, &by_id).await.unwrap().is_some(), "ids are not given twice");
}
