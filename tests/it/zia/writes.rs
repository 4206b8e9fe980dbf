//! Writing: nothing is ever sent twice unless ZIA certainly did nothing.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use zia_mcp::{
    model::{Named, UserId, Write},
    zia::{Deadline, Error, Kind, Landed, NewUser, Timeouts, UserReplacement, Zia},
};

use super::tenant::*;

const CREATE: &str = "POST /api/v1/users";
const DELETE: &str = "DELETE /api/v1/users/7";
const ACTIVATE: &str = "POST /api/v1/status/activate";
const LOCKED: &str = r#"{"code":"EDIT_LOCK_NOT_AVAILABLE"}"#;

fn seven() -> UserId {
    UserId::new(7).unwrap()
}

fn jane() -> NewUser {
    NewUser {
        name: "Jane Doe".into(),
        email: "jane@example.com".parse().unwrap(),
        groups: vec![Named { id: 5, name: "Staff".into() }],
        department: None,
        comments: None,
        temp_auth_email: None,
        password: "canary-initial".into(),
    }
}

async fn create(zia: &Zia, until: Deadline) -> Result<(), Error> {
    zia.create_user(&permit(Write::CreateUser), &jane(), until).await.map(drop)
}

async fn delete(zia: &Zia, until: Deadline) -> Result<(), Error> {
    zia.delete_user(&permit(Write::DeleteUser(seven())), until).await
}

async fn activate(zia: &Zia, until: Deadline) -> Result<(), Error> {
    zia.activate(&permit(Write::Activate), until).await.map(drop)
}

#[tokio::test]
async fn a_user_is_created_with_one_request() {
    let tenant =
        Tenant::signing_in(|_| json(200, r#"{"id":9,"name":"Jane Doe","email":"jane@example.com"}"#)).await;
    let zia = tenant.client();
    let user = zia.create_user(&permit(Write::CreateUser), &jane(), soon()).await.unwrap();
    assert_eq!(user.value.id.get(), 9);
    let sent = tenant.seen(CREATE);
    assert_eq!(
        sent[0].json(),
        json!({"name": "Jane Doe", "email": "jane@example.com", "groups": [{"id": 5, "name": "Staff"}], "password": "canary-initial"})
    );
    assert_eq!((sent.len(), tenant.total()), (1, 2));
}

#[tokio::test]
async fn any_good_status_means_deleted() {
    let answers: [fn() -> Answer; 5] = [
        || reply(200, "", b""),
        || reply(204, "", b""),
        || json(200, "{}"),
        || Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".to_vec()),
        || reply(202, "", b"Accepted"),
    ];
    for answer in answers {
        let tenant = Tenant::signing_in(move |_| answer()).await;
        delete(&tenant.client(), soon()).await.unwrap();
        assert_eq!(tenant.count(DELETE), 1);
    }
}

#[tokio::test]
async fn a_permit_for_another_write_sends_nothing() {
    let tenant = Tenant::signing_in(|_| active()).await;
    let zia = tenant.client();
    let errors = [
        zia.create_user(&permit(Write::Activate), &jane(), soon()).await.map(drop).unwrap_err(),
        zia.delete_user(&permit(Write::CreateUser), soon()).await.unwrap_err(),
        zia.activate(&permit(Write::DeleteUser(seven())), soon()).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind, error.attempts, error.landed), (Kind::Refused, 0, Landed::No));
    }
    assert_eq!(tenant.total(), 0);
}

#[tokio::test]
async fn a_write_whose_fate_is_unknown_is_sent_once() {
    let silences: [(fn() -> Answer, Kind); 9] = [
        (|| Answer::Drop, Kind::Unreachable),
        (|| Answer::After(Duration::from_secs(30), Box::new(Answer::Drop)), Kind::TimedOut),
        (|| Answer::Bytes(b"HTTP/1.1 20".to_vec()), Kind::Unreachable),
        (|| json(500, r#"{"code":"UNEXPECTED_ERROR","message":"x"}"#), Kind::Server),
        (|| page(502), Kind::Server),
        (|| json(503, ""), Kind::Server),
        (|| page(200), Kind::Garbled),
        (|| reply(302, "location: /elsewhere\r\n", b""), Kind::Garbled),
        (|| reply(404, "", b""), Kind::Garbled),
    ];
    let limits = || Timeouts { write_header: Duration::from_millis(300), ..quick() };
    for (silence, kind) in silences {
        let tenant = Tenant::signing_in(move |_| silence()).await;
        let zia = tenant.client_with(|s| s.with_timeouts(limits()));
        let errors = [
            create(&zia, soon()).await.unwrap_err(),
            delete(&zia, soon()).await.unwrap_err(),
            activate(&zia, soon()).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((&error.kind, error.landed, error.attempts), (&kind, Landed::Unknown, 1), "{error}");
        }
        assert_eq!((tenant.count(CREATE), tenant.count(DELETE), tenant.count(ACTIVATE)), (1, 1, 1));
    }
}

#[tokio::test]
async fn f18_a_good_status_with_an_unreadable_body_may_have_created_the_user() {
    let bodies: [fn() -> Answer; 4] = [
        || reply(200, "", b""),
        || json(200, r#"{"name":"no id"}"#),
        || json(200, r#"{"id":9,"#),
        || Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\":9}".to_vec()),
    ];
    for body in bodies {
        let tenant = Tenant::signing_in(move |_| body()).await;
        let error = create(&tenant.client(), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.landed, tenant.count(CREATE)), (Kind::Garbled, Landed::Unknown, 1));
    }
}

#[tokio::test]
async fn a_refused_write_did_not_land_and_is_not_repeated() {
    let refusals: [(fn() -> Answer, Kind); 6] = [
        (|| json(409, r#"{"code":"DUPLICATE_ITEM","message":"x"}"#), Kind::Duplicate),
        (|| json(400, r#"{"message":"Request body is invalid."}"#), Kind::Refused),
        (|| json(404, r#"{"code":"RESOURCE_NOT_FOUND"}"#), Kind::NotFound),
        (|| json(403, r#"{"code":"INVALID_OPERATION"}"#), Kind::Forbidden),
        (|| json(403, r#"{"code":"STATE_READONLY"}"#), Kind::ReadOnly),
        (|| reply(403, "x-zscaler-mode: read-only\r\n", b""), Kind::ReadOnly),
    ];
    for (refusal, kind) in refusals {
        let tenant = Tenant::signing_in(move |_| refusal()).await;
        let error = create(&tenant.client(), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.landed, tenant.count(CREATE)), (kind, Landed::No, 1));
    }
}

#[tokio::test]
async fn what_was_certainly_not_done_is_repeated() {
    let obstacles: [fn() -> Answer; 6] = [
        || json(409, LOCKED),
        || json(412, r#"{"code":"UNEXPECTED_ERROR","message":"Failed during enter Org barrier"}"#),
        || json(409, r#"{"message":"Failed during enter Org barrier"}"#),
        || reply(401, "", b"Resource Access Blocked"),
        || reply(401, "", b"SESSION_NOT_VALID"),
        || reply(429, "retry-after: 1\r\n", b""),
    ];
    for obstacle in obstacles {
        let tenant =
            Tenant::signing_in(move |seen| if seen.nth == 0 { obstacle() } else { reply(204, "", b"") })
                .await;
        delete(&tenant.client(), soon()).await.unwrap();
        assert_eq!(tenant.count(DELETE), 2);
    }
}

#[tokio::test]
async fn f14_an_edit_lock_that_stays_is_given_up_in_time() {
    let tenant = Tenant::signing_in(|_| json(409, LOCKED)).await;
    let start = Instant::now();
    let error = delete(&tenant.client(), Deadline::after(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!((&error.kind, error.landed), (&Kind::EditLocked, Landed::No));
    assert_eq!(error.code.as_deref(), Some("EDIT_LOCK_NOT_AVAILABLE"));
    assert!((3..=15).contains(&error.attempts), "{error}");
    assert_eq!(tenant.count(DELETE), error.attempts as usize);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_write_that_left_is_waited_for_after_its_deadline() {
    let tenant =
        Tenant::signing_in(|_| Answer::After(Duration::from_millis(300), Box::new(reply(204, "", b""))))
            .await;
    let zia = tenant.client();
    zia.sign_in(soon()).await.unwrap();
    delete(&zia, Deadline::after(Duration::from_millis(50))).await.unwrap();

    let error = delete(&zia, Deadline::at(Instant::now())).await.unwrap_err();
    assert_eq!((error.kind, error.landed, tenant.count(DELETE)), (Kind::TimedOut, Landed::No, 1));
}

#[tokio::test]
async fn a_write_with_nobody_listening_did_not_land() {
    let error = delete(&Tenant::gone().await.client(), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.landed), (Kind::Unreachable, Landed::No));
}

#[tokio::test]
async fn f32_a_write_whose_lease_ran_out_does_not_leave() {
    let tenant = Tenant::signing_in(|_| json(204, "")).await;
    let zia = tenant.client();
    let error = zia.delete_user(&lapsed_permit(Write::DeleteUser(seven())), soon()).await.unwrap_err();
    assert_eq!((error.landed, error.attempts), (Landed::No, 0));
    assert_eq!(tenant.count(DELETE), 0);
    delete(&zia, soon()).await.unwrap();
    assert_eq!(tenant.count(DELETE), 1);
}

#[tokio::test]
async fn a_replacement_is_one_request_with_its_id_and_answers_the_user() {
    let tenant =
        Tenant::signing_in(|_| json(200, r#"{"id":7,"name":"Jane Roe","email":"jane@example.com"}"#)).await;
    let zia = tenant.client();
    let wanted = UserReplacement {
        name: "Jane Roe".into(),
        email: "jane@example.com".into(),
        groups: vec![Named { id: 5, name: "Staff".into() }],
        department: None,
        comments: None,
        temp_auth_email: None,
    };
    let answer = zia.replace_user(&permit(Write::ReplaceUser(seven())), &wanted, soon()).await.unwrap();
    assert_eq!(answer.value.name.as_deref(), Some("Jane Roe"));
    assert_eq!(tenant.count("PUT /api/v1/users/7"), 1);
    let other = zia.replace_user(&permit(Write::DeleteUser(seven())), &wanted, soon()).await.unwrap_err();
    assert_eq!((other.kind, tenant.count("PUT /api/v1/users/7")), (Kind::Refused, 1));
}
