//! OneAPI: tokens and the gateway.
#![allow(clippy::disallowed_methods)] // a test may send as it likes

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use zia_mcp::sandbox::Fault;

use super::lab::{Answer, Lab, NOON, options};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn a_client_secret_in_the_form_gets_a_token() {
    let lab = Lab::start(options()).await;
    let answer = lab.ask_token(&lab.secret_form()).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert!(body["access_token"].as_str().unwrap().len() >= 40);
    assert_eq!(answer.header("x-ratelimit-limit"), Some("500, 500;w=1, 100000;w=60"));
}

#[tokio::test]
async fn a_client_secret_as_http_basic_gets_a_token() {
    let lab = Lab::start(options()).await;
    let settings = lab.tenant.settings();
    let ask = |secret: &str| {
        let pair = BASE64_STANDARD.encode(format!("{}:{secret}", settings.client_id));
        let request = lab.client().post(&settings.token_url).header("authorization", format!("Basic {pair}"));
        request.form(&[("grant_type", "client_credentials")]).send()
    };
    assert_eq!(ask(&settings.client_secret).await.unwrap().status(), 200);
    assert_eq!(ask("wrong").await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_wrong_secret_client_or_grant_is_400() {
    let lab = Lab::start(options()).await;
    for (at, value, error) in [
        (0, "password", "unsupported_grant_type"),
        (1, "somebody", "invalid_client"),
        (2, "wrong", "invalid_client"),
        (3, "https://api.elsewhere.com", "invalid_request"),
    ] {
        let mut form = lab.secret_form();
        form[at].1 = value.to_owned();
        let answer = lab.ask_token(&form).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)));
    }
}

#[tokio::test]
async fn a_tenant_may_refuse_an_audience() {
    let lab = Lab::start(options()).await;
    lab.tenant.faults().switch_on(Fault::AudienceRefused);
    assert_eq!(lab.ask_token(&lab.secret_form()).await.status, 400);
    assert_eq!(lab.ask_token(&lab.secret_form()[..3]).await.status, 200);
}

#[tokio::test]
async fn a_token_opens_the_gateway_and_its_headers_are_there() {
    let lab = Lab::with_token().await;
    let answer = lab.get("/status").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"status":"ACTIVE"}"#));
    for (name, value) in [
        ("x-ratelimit-limit", "5000, 5000;w=60"),
        ("x-ratelimit-remaining", "4999"),
        ("x-ratelimit-reset", "5"),
        ("x-oneapi-version", "109.1.146"),
        ("x-zscaler-mode", "read-write"),
        ("cache-control", "no-store, no-cache"),
        ("content-disposition", "attachment; filename=\"api.json\""),
        ("server", "Zscaler"),
        ("date", "Fri, 13 Mar 2026 03:14:55 GMT"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert_eq!(answer.header("x-oneapi-request-id").unwrap().len(), 36);
    assert_eq!(answer.header("x-transaction-id").unwrap().len(), 36);
    assert_ne!(answer.header("x-oneapi-request-id"), lab.get("/status").await.header("x-oneapi-request-id"));
}

#[tokio::test]
async fn a_bad_token_is_refused_by_the_gateway_itself() {
    let mut lab = Lab::with_token().await;
    lab.set_bearer("guessed");
    let answer = lab.get("/users").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.text, r#"{"detail":"unauthorized","type":"","title":"","status":""}"#);
    assert_eq!(answer.header("x-ratelimit-limit"), None);
    assert_eq!(answer.header("x-oneapi-api-category"), Some("public"));
}

#[tokio::test]
async fn a_token_ends_when_it_said_it_would() {
    let lab = Lab::with_token().await;
    lab.clock.advance(Duration::from_millis(3_599_999));
    assert_eq!(lab.get("/status").await.status, 200);
    lab.clock.advance(Duration::from_millis(1));
    assert_eq!(lab.get("/status").await.status, 401);
}

#[tokio::test]
async fn tokens_and_cookies_open_their_own_door_only() {
    let lab = Lab::with_token().await;
    let bearer = lab.ask_token(&lab.secret_form()).await.json()["access_token"].as_str().unwrap().to_owned();
    let legacy = format!("{}/api/v1/status", lab.tenant.base_url());
    assert_eq!(lab.client().get(legacy).bearer_auth(bearer).send().await.unwrap().status(), 401);
    let session = Lab::signed_in().await;
    let gateway = format!("{}/zia/api/v1/status", session.tenant.base_url());
    let sent = session.client().get(gateway).header("cookie", session.cookie()).send().await.unwrap();
    assert_eq!(sent.status(), 401);
}

#[tokio::test]
async fn the_session_behind_a_token_can_end_too() {
    let lab = Lab::with_token().await;
    lab.tenant.faults().switch_on(Fault::SessionExpired.times(1));
    let answer = lab.get("/status").await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("SESSION_NOT_VALID")));
    assert!(answer.header("x-oneapi-request-id").is_some());
}

#[tokio::test]
async fn deleting_the_session_publishes_staged_changes_here_too() {
    let lab = Lab::with_token().await;
    lab.delete("/users/165000013").await;
    assert_eq!(lab.delete("/authenticatedSession").await.json(), json!({"status": "ACTIVE"}));
    assert!(lab.tenant.live_user(165_000_013).is_none());
}

/// A key of the client, made once: it takes long in a debug build.
fn key() -> &'static rsa::PrivateKey {
    static KEY: std::sync::OnceLock<rsa::PrivateKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| rsa::PrivateKey::new(&mut rand::rng(), 2048).unwrap())
}

fn jwt(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let pair = RsaKeyPair::from_pkcs8(key().to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

async fn ask_with(lab: &Lab, assertion: String) -> Answer {
    let form = [
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", lab.tenant.settings().client_id),
        ("client_assertion_type", ASSERTION_TYPE.to_owned()),
        ("client_assertion", assertion),
    ];
    lab.ask_token(&form).await
}

#[tokio::test]
async fn a_signed_assertion_gets_a_token_and_a_forged_one_does_not() {
    let lab = Lab::start(options()).await;
    let client = lab.tenant.settings().client_id;
    let (header, now) = (json!({"alg": "RS256", "typ": "JWT"}), NOON / 1000);
    let claims = json!({"iss": client, "sub": client, "aud": "https://api.zscaler.com", "exp": now + 600});
    assert_eq!(ask_with(&lab, jwt(&header, &claims)).await.status, 400, "no key is known yet");
    let pem = key().to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let set = lab.control(reqwest::Method::PUT, "/client_key", json!({"pem": pem})).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let answer = ask_with(&lab, jwt(&header, &claims)).await;
    assert_eq!(answer.status, 200, "{:?}", lab.tenant.journal().last());
    for (field, value) in [
        ("iss", json!("somebody")),
        ("sub", json!("somebody")),
        ("aud", json!("https://api.elsewhere.com")),
        ("exp", json!(now)),
        ("exp", json!(now + 3601)),
    ] {
        let mut wrong = claims.clone();
        wrong[field] = value;
        assert_eq!(ask_with(&lab, jwt(&header, &wrong)).await.status, 400, "{field}");
    }
    assert_eq!(ask_with(&lab, jwt(&json!({"alg": "none"}), &claims)).await.status, 400);
    let mut forged = jwt(&header, &claims);
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.insert(forged.len() - 5, last);
    assert_eq!(ask_with(&lab, forged).await.status, 400);
}
