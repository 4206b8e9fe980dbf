//! Sign-in with API key, and the session it opens.

use serde_json::json;
use zia_mcp::sandbox::{Fault, SandboxOptions};

use super::lab::{Lab, NOON, options};

const TWO_HOURS_MS: i64 = 2 * 60 * 60 * 1000;

#[tokio::test]
async fn sign_in_answers_auth_type_and_a_session_cookie() {
    let lab = Lab::start(options()).await;
    let answer = lab.post("/authenticatedSession", lab.sign_in_body(NOON)).await;
    assert_eq!(answer.status, 200);
    let expected = json!({"authType": "ADMIN_LOGIN", "obfuscateApiKey": false, "passwordExpiryTime": 0, "passwordExpiryDays": 0});
    assert_eq!(answer.json(), expected);
    let cookie = answer.header("set-cookie").unwrap();
    let id = cookie.strip_prefix("JSESSIONID=").unwrap().strip_suffix("; Path=/; Secure; HttpOnly").unwrap();
    assert_eq!(id.len(), 32);
    assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)), "{id}");
    assert_eq!(answer.header("x-zscaler-mode"), Some("read-write"));
}

#[tokio::test]
async fn the_timestamp_may_be_a_number() {
    let lab = Lab::start(options()).await;
    let mut body = lab.sign_in_body(NOON);
    body["timestamp"] = json!(NOON);
    assert_eq!(lab.post("/authenticatedSession", body).await.status, 200);
}

#[tokio::test]
async fn the_known_obfuscation_vectors_are_what_the_tenant_expects() {
    // The tenant draws its key, so the positions are checked: 695734 and its half 347867, the
    // digits of the half plus two.
    let lab = Lab::start(options()).await;
    let key = lab.tenant.settings().api_key;
    let at = |i: usize| key.chars().nth(i).unwrap();
    let scrambled: String = [6, 9, 5, 7, 3, 4, 5, 6, 9, 10, 8, 9].into_iter().map(at).collect();
    let mut body = lab.sign_in_body(NOON);
    assert_eq!(body["apiKey"], json!(scrambled));
    assert_eq!(lab.post("/authenticatedSession", body.clone()).await.status, 200);
    body["apiKey"] = json!(key);
    assert_eq!(lab.post("/authenticatedSession", body).await.status, 400, "the plain key is not taken");
}

#[tokio::test]
async fn a_timestamp_of_zeros_is_padded() {
    let lab = Lab::start(options()).await;
    let round = NOON - NOON % 1_000_000;
    let key = lab.tenant.settings().api_key;
    let (first, third) = (key.chars().next().unwrap(), key.chars().nth(2).unwrap());
    let mut body = lab.sign_in_body(round);
    assert_eq!(
        body["apiKey"],
        json!(format!("{}{}", first.to_string().repeat(6), third.to_string().repeat(6)))
    );
    assert_eq!(lab.post("/authenticatedSession", body.clone()).await.status, 200);
    // Another last digit picks another letter of the key, unless the key has the same one twice.
    let other = (1..10).find(|digit| key.chars().nth(*digit) != Some(first)).unwrap();
    body["timestamp"] = json!((round + i64::try_from(other).unwrap()).to_string());
    assert_eq!(lab.post("/authenticatedSession", body).await.status, 400);
}

#[tokio::test]
async fn a_wrong_password_is_400_in_the_spelling_of_the_field() {
    let lab = Lab::start(options()).await;
    let mut body = lab.sign_in_body(NOON);
    body["password"] = json!("wrong");
    let answer = lab.post("/authenticatedSession", body.clone()).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text, r#"{"code":"AUTHENTICATION_FAILED","message":"AUTHENTICATION_FAILED"}"#);
    assert_eq!(answer.header("content-length"), Some("66"));
    lab.tenant.faults().switch_on(Fault::DocumentedLoginError);
    let answer = lab.post("/authenticatedSession", body).await;
    let documented = json!({"code": "INVALID_USERNAME_OR_PASSWORD", "message": "Invalid email or password"});
    assert_eq!((answer.status, answer.json()), (400, documented));
}

#[tokio::test]
async fn every_refusal_to_sign_in_looks_alike_and_the_journal_knows_why() {
    let lab = Lab::start(options()).await;
    let cases = [
        ("password", json!("wrong"), "the password is wrong"),
        ("username", json!("x@example.com"), "no such administrator"),
        ("apiKey", json!("abcdefghijkl"), "the obfuscated API key does not fit the timestamp"),
        ("timestamp", json!("soon"), "the timestamp is not a number"),
        ("timestamp", json!(i64::MIN), "the timestamp is more than two hours from the tenant's clock"),
    ];
    for (field, value, why) in cases {
        let mut body = lab.sign_in_body(NOON);
        body[field] = value;
        let answer = lab.post("/authenticatedSession", body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("AUTHENTICATION_FAILED")));
        assert_eq!(lab.tenant.journal().last().unwrap().note.as_deref(), Some(why));
    }
}

#[tokio::test]
async fn a_timestamp_more_than_two_hours_off_is_refused() {
    let lab = Lab::start(options()).await;
    for (off, status) in
        [(TWO_HOURS_MS, 200), (-TWO_HOURS_MS, 200), (TWO_HOURS_MS + 1, 400), (-TWO_HOURS_MS - 1, 400)]
    {
        let answer = lab.post("/authenticatedSession", lab.sign_in_body(NOON + off)).await;
        assert_eq!(answer.status, status, "{off}");
    }
}

#[tokio::test]
async fn a_skewed_tenant_tells_its_own_time_and_judges_by_it() {
    let lab = Lab::start(options()).await;
    lab.tenant.faults().switch_on(Fault::ClockSkew { ms: 3 * 60 * 60 * 1000 });
    let answer = lab.post("/authenticatedSession", lab.sign_in_body(NOON)).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("date"), Some("Fri, 13 Mar 2026 06:14:55 GMT"));
    assert_eq!(
        lab.post("/authenticatedSession", lab.sign_in_body(NOON + 3 * 60 * 60 * 1000)).await.status,
        200
    );
}

#[tokio::test]
async fn a_sign_in_with_unknown_fields_is_not_understood() {
    let lab = Lab::start(options()).await;
    let mut body = lab.sign_in_body(NOON);
    body["orgId"] = json!(1);
    let answer = lab.post("/authenticatedSession", body).await;
    assert_eq!((answer.status, answer.json()), (400, json!({"message": "Request body is invalid."})));
}

#[tokio::test]
async fn a_sign_in_may_leave_the_password_expiry_out() {
    let lab = Lab::start(options()).await;
    lab.tenant.faults().switch_on(Fault::NoPasswordExpiry);
    let answer = lab.post("/authenticatedSession", lab.sign_in_body(NOON)).await;
    assert_eq!(answer.json(), json!({"authType": "ADMIN_LOGIN", "obfuscateApiKey": false}));
}

#[tokio::test]
async fn the_session_check_is_200_and_only_auth_type_tells() {
    let mut lab = Lab::signed_in().await;
    assert_eq!(lab.get("/authenticatedSession").await.json()["authType"], json!("ADMIN_LOGIN"));
    lab.forget_cookie();
    let answer = lab.get("/authenticatedSession").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"obfuscateApiKey": false})));
}

#[tokio::test]
async fn a_call_without_a_session_is_401_session_not_valid() {
    let lab = Lab::start(options()).await;
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("SESSION_NOT_VALID")));
    lab.tenant.faults().switch_on(Fault::SessionText { text: "SESSION_NOT_VALID".to_owned() });
    let answer = lab.get("/users").await;
    assert_eq!((answer.status, answer.text.as_str()), (401, "SESSION_NOT_VALID"));
    assert_eq!(answer.header("content-type"), Some("text/plain;charset=utf-8"));
}

#[tokio::test]
async fn a_session_lives_five_minutes_from_its_last_call() {
    let lab = Lab::signed_in().await;
    let nearly = std::time::Duration::from_millis(5 * 60 * 1000 - 1);
    for _ in 0..3 {
        lab.clock.advance(nearly);
        assert_eq!(lab.get("/status").await.status, 200);
    }
    lab.clock.advance(nearly + std::time::Duration::from_millis(1));
    assert_eq!(lab.get("/status").await.status, 401);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_tells_the_status() {
    let lab = Lab::signed_in().await;
    let answer = lab.delete("/authenticatedSession").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "ACTIVE"})));
    assert_eq!(lab.get("/users").await.status, 401);
}

#[tokio::test]
async fn a_session_can_be_dropped_at_the_next_call() {
    let mut lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::SessionExpired.times(1));
    assert_eq!(lab.get("/users").await.status, 401);
    assert_eq!(lab.get("/users").await.status, 401, "the cookie stays dead");
    lab.sign_in().await;
    assert_eq!(lab.get("/users").await.status, 200);
}

#[tokio::test]
async fn a_cookie_without_secure_can_be_had_for_plain_http_jars() {
    let lab = Lab::start(SandboxOptions { secure_cookie: false, ..options() }).await;
    let answer = lab.post("/authenticatedSession", lab.sign_in_body(NOON)).await;
    assert!(answer.header("set-cookie").unwrap().ends_with("; Path=/; HttpOnly"));
}

#[tokio::test]
async fn credentials_are_new_each_time_and_masked() {
    let (one, two) = (Lab::start(options()).await, Lab::start(options()).await);
    let (a, b) = (one.tenant.settings(), two.tenant.settings());
    assert_ne!((&a.api_key, &a.password, &a.client_secret), (&b.api_key, &b.password, &b.client_secret));
    assert_eq!(a.api_key.len(), 12);
    let shown = format!("{a:?}{:?}", one.tenant);
    for secret in [&a.api_key, &a.password, &a.client_secret] {
        assert!(!shown.contains(secret.as_str()), "{shown}");
    }
}

#[tokio::test]
async fn the_same_secrets_seed_gives_the_same_credentials() {
    let seeded = || SandboxOptions { secrets_seed: Some(7), ..options() };
    let (one, two) = (Lab::start(seeded()).await, Lab::start(seeded()).await);
    assert_eq!(one.tenant.settings().api_key, two.tenant.settings().api_key);
}

#[tokio::test]
async fn passwords_and_keys_are_masked_in_the_journal() {
    let lab = Lab::signed_in().await;
    lab.create("journal@example.com").await;
    let told = serde_json::to_string(&lab.tenant.journal()).unwrap();
    let settings = lab.tenant.settings();
    let scrambled = lab.sign_in_body(NOON)["apiKey"].as_str().unwrap().to_owned();
    for secret in [settings.password.as_str(), &scrambled, "Str0ng-enough!", lab.cookie()] {
        assert!(!told.contains(secret));
    }
    assert!(told.contains("journal@example.com"), "the rest of a body is there");
}
