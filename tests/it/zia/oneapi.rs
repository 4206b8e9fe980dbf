//! Signing in as a OneAPI client.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use rsa::{
    PrivateKey,
    pkcs1::EncodeRsaPrivateKey as _,
    pkcs8::{EncodePrivateKey as _, LineEnding},
    traits::PublicKeyParts,
};
use serde_json::{Value, json};
use zia_mcp::{
    model::{Clock, Write},
    zia::{ClientCredential, Kind, Limits, Settings, SignInProblem, Zia},
};

use super::tenant::*;

const TOKEN: &str = "POST /oauth2/v1/token";
const STATUS: &str = "GET /zia/api/v1/status";
const AUDIENCE: &str = "https://api.zscaler.com";

fn client_with(tenant: &Tenant, credential: ClientCredential, audience: Option<&str>) -> Zia {
    let url = Some(tenant.url.as_str());
    let settings = Settings::oneapi(None, None, url, url, "client+1", credential, audience).unwrap();
    let settings = settings.with_limits(Limits::unpaced()).with_timeouts(quick()).with_jitter(|| 0.5);
    let clock = Clock::from_fn(|| jiff::Timestamp::from_second(1_700_000_000).unwrap());
    Zia::new(settings, clock).unwrap()
}

fn client(tenant: &Tenant) -> Zia {
    client_with(tenant, ClientCredential::Secret("canary+secret".into()), Some(AUDIENCE))
}

fn token(name: &str, seconds: u32) -> Answer {
    json(200, &json!({"access_token": name, "token_type": "Bearer", "expires_in": seconds}).to_string())
}

fn form(seen: &Seen) -> HashMap<String, String> {
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

fn fields(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[tokio::test]
async fn a_hundred_callers_ask_for_one_token() {
    let tenant = Tenant::start(|seen| match seen.call.as_str() {
        TOKEN => Answer::After(Duration::from_millis(50), Box::new(token("T1", 3600))),
        _ => active(),
    })
    .await;
    let zia = client(&tenant);
    let results = join_all((0..100).map(|_| zia.status(soon()))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!((tenant.count(TOKEN), tenant.count(STATUS)), (1, 100));
    assert_eq!(
        form(&tenant.seen(TOKEN)[0]),
        fields(&[
            ("grant_type", "client_credentials"),
            ("client_id", "client+1"),
            ("client_secret", "canary+secret"),
            ("audience", AUDIENCE)
        ])
    );
    assert!(tenant.seen(STATUS).iter().all(|seen| seen.header("authorization") == "Bearer T1"));
    assert_eq!((zia.auth(), zia.own_login()), ("oneapi", None));
}

#[tokio::test]
async fn a_token_is_used_for_as_long_as_it_says_less_a_margin() {
    for (lasts, still, over) in [(3600, 3539, 2), (100, 89, 2), (60, 53, 2)] {
        let tenant = Tenant::start(move |seen| match seen.call.as_str() {
            TOKEN => token(&format!("T{}", seen.nth), lasts),
            _ => active(),
        })
        .await;
        let zia = client(&tenant);
        zia.status(soon()).await.unwrap();
        later(Duration::from_secs(still)).await;
        zia.status(soon()).await.unwrap();
        assert_eq!(tenant.count(TOKEN), 1, "{lasts}");
        later(Duration::from_secs(over)).await;
        zia.status(soon()).await.unwrap();
        assert_eq!(tenant.count(TOKEN), 2, "{lasts}");
        assert_eq!(tenant.seen(STATUS)[2].header("authorization"), "Bearer T1");
    }
}

#[tokio::test]
async fn an_audience_that_the_tenant_refuses_is_left_out_for_good() {
    let tenant = Tenant::start(|seen| match seen.call.as_str() {
        TOKEN if seen.body.contains("audience") => json(400, r#"{"error":"invalid_request"}"#),
        TOKEN => token("T1", 100),
        _ => active(),
    })
    .await;
    let zia = client(&tenant);
    zia.status(soon()).await.unwrap();
    assert_eq!(tenant.count(TOKEN), 2);
    later(Duration::from_secs(200)).await;
    zia.status(soon()).await.unwrap();
    assert_eq!(tenant.count(TOKEN), 3, "the second token was asked for without it at once");

    let bare = Tenant::start(|seen| if seen.call == TOKEN { token("T1", 100) } else { active() }).await;
    client_with(&bare, ClientCredential::Secret("s".into()), None).status(soon()).await.unwrap();
    assert!(!form(&bare.seen(TOKEN)[0]).contains_key("audience"));
}

#[tokio::test]
async fn a_refused_client_is_not_tried_again() {
    let refusals: [(fn() -> Answer, usize); 4] = [
        (|| json(401, r#"{"error":"invalid_client"}"#), 1),
        (|| json(400, r#"{"error":"invalid_client"}"#), 1),
        (|| json(401, ""), 1),
        // This may be the audience, so it is asked once without.
        (|| json(400, r#"{"error":"invalid_request"}"#), 2),
    ];
    for (refusal, requests) in refusals {
        let tenant = Tenant::start(move |_| refusal()).await;
        let zia = client(&tenant);
        let first = zia.status(soon()).await.unwrap_err();
        assert_eq!(first.kind, Kind::SignIn(SignInProblem::Refused));
        for _ in 0..1000 {
            let error = zia.status(soon()).await.unwrap_err();
            assert_eq!(error.kind, Kind::SignIn(SignInProblem::CircuitOpen));
        }
        assert_eq!(tenant.total(), requests);
    }
}

#[tokio::test]
async fn a_passing_failure_of_the_token_endpoint_blames_no_client() {
    let failures: [fn() -> Answer; 4] = [
        || Answer::Drop,
        || page(502),
        || json(200, r#"{"access_token":"T"#),
        || reply(429, "retry-after: 1\r\n", b""),
    ];
    for failure in failures {
        let tenant = Tenant::start(move |seen| match (seen.call.as_str(), seen.nth) {
            (TOKEN, 0) => failure(),
            (TOKEN, _) => token("T1", 100),
            _ => active(),
        })
        .await;
        client(&tenant).status(soon()).await.unwrap();
        assert_eq!(tenant.count(TOKEN), 2);
    }
}

#[tokio::test]
async fn a_token_that_the_gateway_refuses_is_replaced_once() {
    let gateway = || json(401, r#"{"detail":"unauthorized","type":"","title":"","status":""}"#);
    let tenant = Tenant::start(move |seen| match seen.call.as_str() {
        TOKEN => token(&format!("T{}", seen.nth), 3600),
        _ if seen.header("authorization") == "Bearer T0" => gateway(),
        _ => active(),
    })
    .await;
    client(&tenant).activate(&permit(Write::Activate), soon()).await.unwrap();
    assert_eq!((tenant.count(TOKEN), tenant.count("POST /zia/api/v1/status/activate")), (2, 2));

    let closed =
        Tenant::start(move |seen| if seen.call == TOKEN { token("T", 3600) } else { gateway() }).await;
    let error = client(&closed).status(soon()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (Kind::SignIn(SignInProblem::Refused), 2));
}

#[tokio::test]
async fn signing_out_publishes_through_the_gateway() {
    let tenant = Tenant::start(|seen| if seen.call == TOKEN { token("T", 3600) } else { active() }).await;
    let zia = client(&tenant);
    zia.sign_out().await.unwrap();
    assert_eq!(tenant.total(), 0);
    zia.status(soon()).await.unwrap();
    zia.sign_out().await.unwrap();
    assert_eq!(tenant.count("DELETE /zia/api/v1/authenticatedSession"), 1);
}

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::new(&mut rand::rng(), 2048).unwrap());

/// Checks signature and form of an assertion with another implementation's public key.
fn claims(assertion: &str) -> Value {
    let [header, claims, signature]: [&str; 3] = assertion.split('.').collect::<Vec<_>>().try_into().unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (n, e) = (KEY.n().to_be_bytes_trimmed_vartime(), KEY.e().to_be_bytes_trimmed_vartime());
    let public = ring::signature::RsaPublicKeyComponents { n: &n[..], e: &e[..] };
    let signed = format!("{header}.{claims}");
    let rule = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
    public.verify(rule, signed.as_bytes(), &decode(signature)).expect("a valid signature");
    assert_eq!(
        serde_json::from_slice::<Value>(&decode(header)).unwrap(),
        json!({"alg": "RS256", "typ": "JWT"})
    );
    serde_json::from_slice(&decode(claims)).unwrap()
}

#[tokio::test]
async fn a_private_key_signs_an_assertion_that_its_public_key_verifies() {
    let pkcs8 = KEY.to_pkcs8_pem(LineEnding::LF).unwrap();
    let pkcs1 = KEY.to_pkcs1_pem(LineEnding::CRLF).unwrap();
    let one_line = pkcs8.replace('\n', "\\n");
    for pem in [pkcs8.as_str(), pkcs1.as_str(), &one_line] {
        let tenant = Tenant::start(|seen| if seen.call == TOKEN { token("T1", 100) } else { active() }).await;
        let zia = client_with(&tenant, ClientCredential::PrivateKey(pem.into()), Some(AUDIENCE));
        zia.status(soon()).await.unwrap();
        let mut sent = form(&tenant.seen(TOKEN)[0]);
        let assertion = sent.remove("client_assertion").unwrap();
        assert_eq!(
            sent,
            fields(&[
                ("grant_type", "client_credentials"),
                ("client_id", "client+1"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("audience", AUDIENCE)
            ])
        );
        assert_eq!(
            claims(&assertion),
            json!({"iss": "client+1", "sub": "client+1", "aud": AUDIENCE, "exp": 1_700_000_600})
        );
    }
}

#[test]
fn a_key_of_1024_bits_is_refused() {
    let short = PrivateKey::new(&mut rand::rng(), 1024).unwrap();
    let pem = ClientCredential::PrivateKey(short.to_pkcs8_pem(LineEnding::LF).unwrap().as_str().into());
    let error = Settings::oneapi(Some("acme"), None, None, None, "id", pem, None).unwrap_err();
    assert_eq!(error.setting, "ZSCALER_PRIVATE_KEY");
    assert!(error.problem.contains("2048"), "{error}");
}
