//! Signing in with the API key.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use serde_json::json;
use zia_mcp::{
    model::{Clock, Write},
    zia::{ActivationStatus, Deadline, Kind, Landed, Limits, Settings, SignInProblem, Zia},
};

use super::tenant::*;

const STATUS: &str = "GET /api/v1/status";
const REFUSED: Kind = Kind::SignIn(SignInProblem::Refused);
const SUSPENDED: Kind = Kind::SignIn(SignInProblem::CircuitOpen);

fn refused() -> Answer {
    json(400, r#"{"code":"AUTHENTICATION_FAILED","message":"AUTHENTICATION_FAILED"}"#)
}

/// A tenant whose sessions live until `expire`; a dead one gets the given answer.
struct Sessions(Arc<AtomicUsize>);

impl Sessions {
    async fn tenant(dead: fn() -> Answer) -> (Tenant, Self) {
        let live = Arc::new(AtomicUsize::new(0));
        let count = live.clone();
        let tenant = Tenant::start(move |seen| {
            if seen.call == SIGN_IN {
                return signed_in(&format!("S{}", count.fetch_add(1, Ordering::SeqCst) + 1));
            }
            let live = format!("JSESSIONID=S{}", count.load(Ordering::SeqCst));
            if seen.header("cookie") == live { active() } else { dead() }
        });
        (tenant.await, Self(live))
    }

    fn expire(&self) {
        // The next sign-in gives the number after this one.
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_sign_in_sends_the_obfuscated_key_with_its_own_timestamp() {
    let tenant = Tenant::signing_in(|_| active()).await;
    let settings = Settings::api_key(
        None,
        Some(&tenant.url),
        "admin@example.com",
        "pass wörd".into(),
        "abcdefghijkl".into(),
    );
    let clock = Clock::from_fn(|| jiff::Timestamp::from_millisecond(1_700_000_123_456).unwrap());
    let zia = Zia::new(settings.unwrap(), clock).unwrap();
    zia.sign_in(soon()).await.unwrap();
    let sent = &tenant.seen(SIGN_IN)[0];
    assert_eq!(
        sent.json(),
        json!({"apiKey": "bcdefgcidjek", "username": "admin@example.com", "password": "pass wörd", "timestamp": "1700000123456"})
    );
    assert_eq!((sent.header("content-type"), sent.header("cookie")), ("application/json", ""));
    assert_eq!((zia.own_login(), zia.auth()), (Some("admin@example.com"), "api_key"));
}

#[tokio::test]
async fn a_hundred_callers_sign_in_once() {
    let tenant = Tenant::start(|seen| match seen.call.as_str() {
        SIGN_IN => Answer::After(Duration::from_millis(50), Box::new(signed_in("A1"))),
        _ => active(),
    })
    .await;
    let zia = tenant.client();
    let results = join_all((0..100).map(|_| zia.status(soon()))).await;
    assert!(results.iter().all(|r| *r == Ok(ActivationStatus::Active)));
    assert_eq!((tenant.count(SIGN_IN), tenant.count(STATUS)), (1, 100));
    assert!(tenant.seen(STATUS).iter().all(|seen| seen.header("cookie") == "JSESSIONID=A1"));
}

#[tokio::test]
async fn a_lost_session_is_replaced_once_in_any_of_its_spellings() {
    let spellings: [fn() -> Answer; 5] = [
        || json(401, r#"{"code":"SESSION_NOT_VALID","message":"Session is not valid"}"#),
        || reply(401, "content-type: text/plain\r\n", b"SESSION_NOT_VALID"),
        || json(401, r#"{"message":"getAttribute: Session already invalidated"}"#),
        || {
            json(
                500,
                r#"{"code":"UNEXPECTED_ERROR","message":"getAttributeNames: Session already invalidated"}"#,
            )
        },
        || reply(401, "", b""),
    ];
    for dead in spellings {
        let (tenant, sessions) = Sessions::tenant(dead).await;
        let zia = tenant.client();
        zia.status(soon()).await.unwrap();
        sessions.expire();
        let results = join_all((0..50).map(|_| zia.status(soon()))).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(tenant.count(SIGN_IN), 2);
        assert!(tenant.count(STATUS) <= 101);
    }
}

#[tokio::test]
async fn a_session_that_expires_before_every_call_costs_one_sign_in_each() {
    let (tenant, sessions) = Sessions::tenant(|| reply(401, "", b"SESSION_NOT_VALID")).await;
    let zia = tenant.client();
    for calls in 1..=10 {
        zia.status(soon()).await.unwrap();
        sessions.expire();
        assert_eq!(tenant.count(SIGN_IN), calls);
    }
}

#[tokio::test]
async fn a_session_that_is_never_accepted_is_tried_twice() {
    let tenant = Tenant::signing_in(|_| reply(401, "", b"SESSION_NOT_VALID")).await;
    let error = tenant.client().status(soon()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (REFUSED, 2));
    assert_eq!((tenant.count(SIGN_IN), tenant.count(STATUS)), (2, 2));
}

#[tokio::test]
async fn f12_a_write_is_replayed_with_its_body_after_a_lost_session() {
    let tenant =
        Tenant::signing_in(
            |seen| if seen.nth == 0 { reply(401, "", b"SESSION_NOT_VALID") } else { active() },
        )
        .await;
    tenant.client().activate(&permit(Write::Activate), soon()).await.unwrap();
    let sent = tenant.seen("POST /api/v1/status/activate");
    assert_eq!(sent.iter().map(|seen| seen.body.as_str()).collect::<Vec<_>>(), ["{}", "{}"]);
    assert_eq!(tenant.count(SIGN_IN), 2);
}

#[tokio::test]
async fn f13_wrong_credentials_are_sent_once_for_a_thousand_calls() {
    let tenant = Tenant::start(|_| refused()).await;
    let zia = tenant.client();
    let together = join_all((0..500).map(|_| zia.status(soon()))).await;
    for result in together {
        let error = result.unwrap_err();
        assert!(matches!(error.kind, REFUSED), "{error}");
        assert_eq!(error.code.as_deref(), Some("AUTHENTICATION_FAILED"));
    }
    for _ in 0..500 {
        let error = zia.status(soon()).await.unwrap_err();
        assert_eq!((error.kind, error.attempts, error.landed), (SUSPENDED, 0, Landed::No));
    }
    assert_eq!(tenant.total(), 1);

    later(Duration::from_secs(14 * 60)).await;
    assert_eq!(zia.status(soon()).await.unwrap_err().kind, SUSPENDED);
    later(Duration::from_secs(61)).await;
    assert_eq!(zia.status(soon()).await.unwrap_err().kind, REFUSED);
    assert_eq!(tenant.total(), 2);
}

#[tokio::test]
async fn callers_who_give_up_do_not_hide_a_refusal() {
    let tenant = Tenant::start(|_| Answer::After(Duration::from_millis(100), Box::new(refused()))).await;
    let zia = tenant.client();
    let hasty = || Deadline::after(Duration::from_millis(10));
    for _ in 0..3 {
        assert_eq!(zia.status(hasty()).await.unwrap_err().kind, Kind::TimedOut);
    }
    // A dropped caller is as good as one that gives up.
    let _ = tokio::time::timeout(Duration::from_millis(10), zia.status(soon())).await;
    let error = zia.status(soon()).await.unwrap_err();
    assert!(matches!(error.kind, Kind::SignIn(_)), "{error}");
    assert_eq!(tenant.count(SIGN_IN), 1);
}

#[tokio::test]
async fn a_sign_in_outlives_the_caller_who_began_it() {
    let tenant = Tenant::start(|seen| match seen.call.as_str() {
        SIGN_IN => Answer::After(Duration::from_millis(100), Box::new(signed_in("A1"))),
        _ => active(),
    })
    .await;
    let zia = tenant.client();
    let hasty = Deadline::after(Duration::from_millis(10));
    assert_eq!(zia.status(hasty).await.unwrap_err().kind, Kind::TimedOut);
    zia.status(soon()).await.unwrap();
    assert_eq!(tenant.count(SIGN_IN), 1);
}

#[tokio::test]
async fn a_sign_in_is_judged_by_its_auth_type_not_by_its_status() {
    let odd = Tenant::start(|seen| match seen.call.as_str() {
        SIGN_IN => reply(400, "set-cookie: JSESSIONID=A1\r\n", br#"{"authType":"DEFAULT_LOGIN"}"#),
        _ => active(),
    })
    .await;
    odd.client().status(soon()).await.unwrap();

    let hollow =
        Tenant::start(|_| reply(200, "set-cookie: JSESSIONID=A1\r\n", br#"{"obfuscateApiKey":true}"#)).await;
    assert_eq!(hollow.client().status(soon()).await.unwrap_err().kind, REFUSED);
    assert_eq!(hollow.total(), 1);
}

#[tokio::test]
async fn a_passing_failure_of_a_sign_in_blames_no_credentials() {
    let failures: [fn() -> Answer; 4] = [
        || Answer::Drop,
        || json(503, ""),
        || page(502),
        || Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"authType\":\"ADMIN".to_vec()),
    ];
    for failure in failures {
        let tenant = Tenant::start(move |seen| match (seen.call.as_str(), seen.nth) {
            (SIGN_IN, 0) => failure(),
            (SIGN_IN, _) => signed_in("A1"),
            _ => active(),
        })
        .await;
        // Nothing of the write had left, so it goes ahead with the next sign-in.
        tenant.client().activate(&permit(Write::Activate), soon()).await.unwrap();
        assert_eq!((tenant.count(SIGN_IN), tenant.count("POST /api/v1/status/activate")), (2, 1));
    }
}

#[tokio::test]
async fn a_web_page_in_place_of_a_sign_in_is_garbled_not_a_refusal() {
    for status in [200, 302, 403, 404] {
        let tenant = Tenant::start(move |_| page(status)).await;
        let zia = tenant.client();
        assert_eq!(zia.sign_in(soon()).await.unwrap_err().kind, Kind::Garbled, "{status}");
        assert_eq!(tenant.total(), 1);
        assert_eq!(zia.sign_in(soon()).await.unwrap_err().kind, Kind::Garbled, "no circuit for {status}");
    }
}

#[tokio::test]
async fn callers_who_waited_for_a_failed_sign_in_share_its_failure() {
    let tenant = Tenant::start(|_| Answer::After(Duration::from_millis(50), Box::new(page(403)))).await;
    let zia = tenant.client();
    let results = join_all((0..100).map(|_| zia.status(soon()))).await;
    assert!(results.iter().all(|r| r.as_ref().unwrap_err().kind == Kind::Garbled));
    assert_eq!(tenant.total(), 1);
}

#[tokio::test]
async fn an_idle_session_is_renewed_only_when_there_is_work() {
    let (tenant, _) = Sessions::tenant(|| panic!("a stale session was sent")).await;
    let zia = tenant.client();
    zia.status(soon()).await.unwrap();
    for _ in 0..3 {
        later(Duration::from_secs(4 * 60)).await;
        zia.status(soon()).await.unwrap();
    }
    assert_eq!(tenant.count(SIGN_IN), 1, "every use keeps it alive");
    later(Duration::from_secs(4 * 60 + 31)).await;
    assert_eq!(tenant.count(SIGN_IN), 1, "no work, no sign-in");
    zia.status(soon()).await.unwrap();
    assert_eq!(tenant.count(SIGN_IN), 2);
}

#[tokio::test]
async fn signing_out_ends_the_session_if_there_is_one() {
    let (tenant, _) = Sessions::tenant(|| reply(401, "", b"SESSION_NOT_VALID")).await;
    let zia = tenant.client();
    zia.sign_out().await.unwrap();
    assert_eq!(tenant.total(), 0);
    zia.status(soon()).await.unwrap();
    zia.sign_out().await.unwrap();
    zia.sign_out().await.unwrap();
    let ended = tenant.seen("DELETE /api/v1/authenticatedSession");
    assert_eq!((ended.len(), ended[0].header("cookie")), (1, "JSESSIONID=S1"));
    zia.status(soon()).await.unwrap();
    assert_eq!(tenant.count(SIGN_IN), 2);
}

#[tokio::test]
async fn signing_out_of_a_dead_session_is_no_error_and_a_lost_answer_is_one() {
    let (tenant, sessions) = Sessions::tenant(|| reply(401, "", b"SESSION_NOT_VALID")).await;
    let zia = tenant.client();
    zia.sign_in(soon()).await.unwrap();
    sessions.expire();
    zia.sign_out().await.unwrap();
    assert_eq!(tenant.count(SIGN_IN), 1, "no sign-in to sign out");

    let mute = Tenant::signing_in(|_| Answer::Drop).await;
    let zia = mute.client();
    zia.sign_in(soon()).await.unwrap();
    assert_eq!(zia.sign_out().await.unwrap_err().landed, Landed::Unknown);
    assert_eq!(mute.count("DELETE /api/v1/authenticatedSession"), 1);
}

#[tokio::test]
async fn sign_ins_are_paced_and_a_429_to_one_is_waited_for() {
    let tenant = Tenant::start(|seen| match (seen.call.as_str(), seen.nth) {
        (SIGN_IN, 0) => reply(429, "retry-after: 1\r\n", b""),
        (SIGN_IN, _) => signed_in("A1"),
        _ => active(),
    })
    .await;
    let zia = tenant.client_with(|s| s.with_limits(Limits::documented()));
    let start = tokio::time::Instant::now();
    zia.status(soon()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(tenant.count(SIGN_IN), 2);
}
