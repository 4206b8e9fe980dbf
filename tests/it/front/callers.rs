//! Who gets in: access tokens of an issuer, named tokens, and what neither may do.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use ring::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use zia_mcp::{
    http::{Issuer, NamedToken},
    model::{Scope, Scopes},
};

use super::{
    issuer::{Key, Stub},
    wire::{Answer, INITIALIZE, Server, modern_call, modern_headers},
};

const AUDIENCE: &str = "https://zia.example/mcp";

#[allow(clippy::disallowed_methods)] // what a token's times are told by
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn claims(stub: &Stub, changes: Value) -> Value {
    let mut claims = json!({"iss": stub.url, "aud": AUDIENCE, "sub": "ada", "client_id": "desktop",
        "scope": "openid zia.users.read", "iat": now(), "exp": now() + 600, "jti": "1"});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

async fn start(stub: &Stub, edit: impl FnOnce(&mut Issuer)) -> Server {
    let mut issuer = Issuer { audience: Some(AUDIENCE.into()), ..Issuer::new(&stub.url) };
    edit(&mut issuer);
    Server::start_with(|options| (options.token, options.issuer) = (None, Some(issuer)), true).await
}

async fn show(server: &Server, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [&modern_headers("caller")[..], &[("Authorization", bearer.as_str())]].concat();
    server.post(&headers, &modern_call(1, "caller", json!({}))).await
}

/// A listener that must never hear from anybody.
async fn attacker() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    (listener, url)
}

/// Every bad token with what is wrong about it.
fn bad_tokens(stub: &Stub, key: &Key, thief: &str) -> Vec<(String, String)> {
    let mut bad = Vec::new();
    for changes in [
        json!({"iss": "https://evil.example"}),
        json!({"iss": format!("{}/", stub.url)}),
        json!({"iss": [stub.url, "https://evil.example"]}),
        json!({"iss": null}),
        json!({"aud": "https://other.example/mcp"}),
        json!({"aud": format!("{AUDIENCE}/")}),
        json!({"aud": format!("x {AUDIENCE}")}),
        json!({"aud": ["https://other.example/mcp", "desktop"]}),
        json!({"aud": []}),
        json!({"aud": null}),
        json!({"exp": now() - 61}),
        json!({"exp": 0}),
        json!({"exp": null}),
        json!({"exp": "never"}),
        json!({"nbf": now() + 120}),
        json!({"nbf": "later"}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a".repeat(256)}),
        json!({"sub": "ada\u{202e}"}),
        json!({"sub": "local"}),
        json!({"sub": "http"}),
        json!({"nonce": "n"}),
        json!({"at_hash": "h"}),
        json!({"cnf": {"jkt": "k"}}),
    ] {
        bad.push((format!("claims {changes}"), key.token(&claims(stub, changes))));
    }
    let good = claims(stub, json!({})).to_string();
    let stranger = Key::new(&key.kid);
    let unknown = Key::new("unknown");
    for changes in [
        json!({"typ": "JWT"}),
        json!({"typ": null}),
        json!({"typ": "id+jwt"}),
        json!({"alg": "none"}),
        json!({"alg": "ES384"}),
        json!({"alg": "RS256"}),
        json!({"kid": null}),
        json!({"kid": "another"}),
        json!({"crit": ["exp"]}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"jku": thief}),
        json!({"x5u": thief}),
        json!({"jku": thief, "kid": "unknown"}),
        json!({"jwk": unknown.jwk()}),
        json!({"x5c": ["MIIB"]}),
    ] {
        let mut header = key.header();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        // Signed by the right key, and by the one that the header would bring.
        for (who, signer) in [("issuer", key), ("thief", &unknown)] {
            bad.push((format!("header {changes} by {who}"), signer.sign(&header.to_string(), &good)));
        }
    }
    bad.push(("another's key of the same name".into(), stranger.token(&claims(stub, json!({})))));
    let twice = |name: &str, value: &str| good.replacen('{', &format!("{{\"{name}\":{value},"), 1);
    for (name, value) in [("sub", "\"eve\""), ("aud", "\"other\""), ("exp", "1"), ("jti", "\"2\"")] {
        bad.push((format!("{name} twice"), key.sign(&key.header().to_string(), &twice(name, value))));
    }
    let header = format!("{{\"alg\":\"none\",{}", &key.header().to_string()[1..]);
    bad.push(("alg twice".into(), key.sign(&header, &good)));
    let token = key.token(&claims(stub, json!({})));
    let (message, signature) = token.rsplit_once('.').unwrap();
    bad.push(("no signature".into(), format!("{message}.")));
    bad.push(("two parts".into(), message.into()));
    bad.push(("four parts".into(), format!("{token}.x")));
    // The first letter: of the last one a part of the bits counts.
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    bad.push(("signature of another".into(), format!("{message}.{other}{}", &signature[1..])));
    bad.push(("above 16 KiB".into(), key.token(&claims(stub, json!({"more": "x".repeat(12_500)})))));
    bad.push(("no JSON".into(), key.sign("{", &good)));
    bad.push(("HS256 by the public key".into(), hs256(key, &good)));
    bad
}

fn hs256(key: &Key, claims: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": key.kid}).to_string();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.public()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test]
async fn t12_bad_tokens_are_401_and_nobody_else_is_asked() {
    let key = Key::new("k1");
    let (stub, (thief, thief_url)) = (Stub::start(&[&key]).await, attacker().await);
    let server = start(&stub, |_| {}).await;
    assert_eq!(show(&server, &key.token(&claims(&stub, json!({})))).await.text(), "ada bearer=false");
    let bad = bad_tokens(&stub, &key, &thief_url);
    assert!(bad.len() >= 30, "{}", bad.len());
    for (why, token) in bad {
        let answer = show(&server, &token).await;
        assert_eq!(answer.status, 401, "{why}: {answer:?}");
        let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
        assert!(
            challenge.contains("invalid_token") && challenge.contains("resource_metadata="),
            "{challenge}"
        );
        assert!(!answer.body.contains("ada"), "{why}: {answer:?}");
    }
    // The keys were read at first, and once more for the sake of the first unknown name.
    assert!(stub.fetches() <= 2 && stub.documents() == 1, "{} {}", stub.fetches(), stub.documents());
    let heard = tokio::time::timeout(Duration::from_millis(200), thief.accept()).await;
    assert!(heard.is_err(), "somebody followed the token");
}

#[tokio::test]
async fn t12_within_a_minute_of_its_times_a_token_counts() {
    let key = Key::new("k1");
    let stub = Stub::start(&[&key]).await;
    let server = start(&stub, |_| {}).await;
    for good in [
        json!({"exp": now() - 30}),
        json!({"nbf": now() + 30}),
        json!({"aud": ["https://other.example/mcp", AUDIENCE]}),
        json!({"scope": null, "scp": ["zia.users.read"]}),
        json!({"scope": null, "scp": "openid zia.users.read"}),
        json!({"scope": null, "roles": ["zia.users.read", "Other"]}),
    ] {
        assert_eq!(show(&server, &key.token(&claims(&stub, good.clone()))).await.status, 200, "{good}");
    }
    let typ = json!({"alg": "ES256", "typ": "application/AT+JWT", "kid": "k1"}).to_string();
    let token = key.sign(&typ, &claims(&stub, json!({})).to_string());
    assert_eq!(show(&server, &token).await.status, 200);
}

#[tokio::test]
async fn t12_relaxed_types_still_refuse_id_tokens() {
    let key = Key::new("k1");
    let stub = Stub::start(&[&key]).await;
    let server = start(&stub, |issuer| issuer.relaxed_type = true).await;
    let plain = |changes: Value| {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}).to_string();
        key.sign(&header, &claims(&stub, changes).to_string())
    };
    assert_eq!(show(&server, &plain(json!({}))).await.status, 200);
    for id_token in [
        json!({"nonce": "n"}),
        json!({"at_hash": "h"}),
        json!({"azp": AUDIENCE, "client_id": null}),
        json!({"client_id": null, "scope": null, "oid": "0f3a", "roles": ["zia.users.read"]}),
    ] {
        assert_eq!(show(&server, &plain(id_token.clone())).await.status, 401, "{id_token}");
    }
    let roles = json!({"client_id": null, "azp": "desktop", "scope": null, "roles": ["zia.users.read"]});
    assert_eq!(show(&server, &plain(roles)).await.status, 200);
}

#[tokio::test]
async fn b35_what_a_token_does_not_grant_is_403_with_everything_that_is_needed() {
    let key = Key::new("k1");
    let stub = Stub::start(&[&key]).await;
    let server = start(&stub, |_| {}).await;
    let nothing = server.post(&[("Authorization", "")], INITIALIZE).await;
    let challenge = nothing.header("www-authenticate").unwrap();
    assert!(nothing.status == 401 && challenge.contains("resource_metadata=\"http://"), "{challenge}");
    assert!(!challenge.contains("error="), "{challenge}");
    for none in [
        json!({"scope": "openid"}),
        json!({"scope": null}),
        json!({"scope": "zia.users.reads ZIA.USERS.READ"}),
    ] {
        let answer = show(&server, &key.token(&claims(&stub, none))).await;
        let challenge = answer.header("www-authenticate").unwrap();
        assert_eq!(answer.status, 403, "{answer:?}");
        let all = "scope=\"zia.users.read zia.users.write zia.users.delete zia.activate\"";
        assert!(challenge.contains("error=\"insufficient_scope\"") && challenge.contains(all), "{challenge}");
        assert!(challenge.contains("resource_metadata="), "{challenge}");
    }
    // A program's token grants no approval, whatever it says.
    for bot in [
        json!({"sub": "bot", "client_id": "bot", "scope": "zia.approve"}),
        json!({"client_id": "Bot", "preferred_username": "service-account-bot", "scope": "zia.approve"}),
        json!({"sub": "0f3a", "oid": "0f3a", "scope": null, "roles": ["zia.approve"]}),
    ] {
        assert_eq!(show(&server, &key.token(&claims(&stub, bot))).await.status, 403);
    }
    let entra = json!({"oid": "0f3a", "scope": null, "scp": "zia.users.read", "roles": ["zia.approve"]});
    assert_eq!(show(&server, &key.token(&claims(&stub, entra))).await.status, 200);
    let person = json!({"scope": "zia.approve"});
    assert_eq!(show(&server, &key.token(&claims(&stub, person))).await.status, 200);
}

#[tokio::test]
async fn the_metadata_names_the_server_and_its_issuer_to_anybody() {
    let stub = Stub::start(&[]).await;
    let server = start(&stub, |_| {}).await;
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let answer = server.send(&format!("GET {path} HTTP/1.1"), &[("Authorization", "")], "").await;
        let told = answer.json();
        assert_eq!(told["resource"], format!("http://{}/mcp", server.address), "{answer:?}");
        assert_eq!(told["authorization_servers"], json!([stub.url]));
        assert_eq!(told["bearer_methods_supported"], json!(["header"]));
        assert_eq!(told["scopes_supported"].as_array().unwrap().len(), Scope::ALL.len());
    }
    let without = Server::start().await;
    let answer = without.send("GET /.well-known/oauth-protected-resource HTTP/1.1", &[], "").await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn t13_ten_thousand_unknown_keys_are_one_more_fetch_and_known_keys_outlive_an_outage() {
    let key = Key::new("k1");
    let stub = Stub::start(&[&key]).await;
    let server = start(&stub, |_| {}).await;
    let good = key.token(&claims(&stub, json!({})));
    assert_eq!(show(&server, &good).await.status, 200);
    let before = stub.fetches();
    let text = claims(&stub, json!({})).to_string();
    let flood = async |from: usize, to: usize| {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        for n in from..to {
            let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("random-{n}")}).to_string();
            let bearer = format!("Bearer {}", key.sign(&header, &text));
            assert_eq!(server.on(&mut stream, &bearer).await, 401);
        }
    };
    futures::future::join_all((0..20).map(|n| flood(500 * n, 500 * (n + 1)))).await;
    assert_eq!(stub.fetches() - before, 1);
    stub.down.store(true, Ordering::SeqCst);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60 * 60)).await;
    tokio::time::resume();
    for _ in 0..20 {
        assert_eq!(show(&server, &good).await.status, 200);
    }
}

#[tokio::test]
async fn t13_keys_rotate_live_without_a_failure() {
    let mut key = Key::new("k0");
    let stub = Stub::start(&[&key]).await;
    let server = start(&stub, |issuer| issuer.refresh = Duration::ZERO).await;
    for n in 1..20 {
        let next = Key::new(&format!("k{n}"));
        let old = key.token(&claims(&stub, json!({})));
        assert_eq!(show(&server, &old).await.status, 200, "{n}");
        stub.publish(&[&next, &key]);
        let new = next.token(&claims(&stub, json!({})));
        let (first, second) = tokio::join!(show(&server, &new), show(&server, &old));
        assert_eq!((first.status, second.status), (200, 200), "{n}");
        key = next;
    }
    // Each rotation was noticed by one reading, however many tokens showed it.
    assert_eq!(stub.fetches(), 20);
}

#[tokio::test]
async fn t13_without_any_key_the_answer_is_later_and_not_never() {
    let key = Key::new("k1");
    let stub = Stub::start(&[&key]).await;
    stub.down.store(true, Ordering::SeqCst);
    let server = start(&stub, |issuer| issuer.refresh = Duration::ZERO).await;
    let good = key.token(&claims(&stub, json!({})));
    let answer = show(&server, &good).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{answer:?}");
    stub.down.store(false, Ordering::SeqCst);
    assert_eq!(show(&server, &good).await.status, 200);
}

fn named(name: &str) -> NamedToken {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("token-{name}").as_bytes());
    let scopes = Scopes::default().with(Scope::UsersRead);
    NamedToken { name: name.into(), sha256: digest.as_ref().try_into().unwrap(), scopes, workload: true }
}

#[tokio::test]
async fn t33_two_hundred_callers_with_equal_ids_never_see_anothers_answer() {
    let names: Vec<_> = (0..200).map(|n| format!("caller-{n:03}")).collect();
    let server =
        Server::start_with(|o| o.tokens = names.iter().map(|name| named(name)).collect(), true).await;
    let asks = names.iter().map(async |name| {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        for _ in 0..50 {
            let answer = server.answer_on(&mut stream, &format!("Bearer token-{name}")).await;
            assert!(answer.contains(&format!("{name} bearer=false")), "{name}: {answer}");
            assert_eq!(answer.matches("caller-").count(), 1, "{name}: {answer}");
        }
    });
    // Connections of one address are bounded, so they come by and by.
    let asks: Vec<_> = asks.collect();
    futures::StreamExt::for_each_concurrent(futures::stream::iter(asks), 50, |ask| ask).await;
}

#[tokio::test]
async fn t33_a_session_of_another_caller_is_as_unknown_as_none() {
    let server = Server::start_with(|o| o.tokens = vec![named("ada"), named("eve")], true).await;
    let ada = ("Authorization", "Bearer token-ada");
    let begun = server.post(&[ada], INITIALIZE).await;
    let id = begun.header("mcp-session-id").unwrap().to_owned();
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let ask = async |method: &str, bearer: &str, id: &str, body: &str| {
        let line = format!("{method} /mcp HTTP/1.1");
        let version = ("MCP-Protocol-Version", "2025-11-25");
        let headers = [("Authorization", bearer), ("Mcp-Session-Id", id), version];
        let answer = server.send(&line, &headers, body).await;
        (answer.status, answer.body)
    };
    for (method, body) in [("POST", ping), ("GET", ""), ("DELETE", "")] {
        let foreign = ask(method, "Bearer token-eve", &id, body).await;
        let unknown = ask(method, "Bearer token-eve", "00000000-0000-0000-0000-000000000000", body).await;
        assert_eq!(foreign, unknown, "{method}");
        // rmcp takes the end of any session for done.
        assert_eq!(foreign.0, if method == "DELETE" { 202 } else { 404 }, "{method}");
    }
    assert_eq!(ask("POST", "Bearer token-ada", &id, ping).await.0, 200);
}
