//! An issuer on loopback: its document, its keys, how often each was asked for; and tokens of any kind.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

/// A key of the issuer, or of somebody else.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) kid: String,
    pair: Arc<EcdsaKeyPair>,
}

impl Key {
    pub(super) fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { kid: kid.into(), pair: Arc::new(pair) }
    }

    pub(super) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(super) fn jwk(&self) -> Value {
        let point = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&self.public()[range]);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "alg": "ES256", "use": "sig",
            "x": point(1..33), "y": point(33..65)})
    }

    /// A token of exactly these bytes, signed.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(super) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.kid})
    }

    pub(super) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }
}

#[derive(Clone)]
pub(super) struct Stub {
    pub(super) url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    pub(super) down: Arc<AtomicBool>,
    documents: Arc<AtomicUsize>,
    fetches: Arc<AtomicUsize>,
}

impl Stub {
    pub(super) async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stub = Self {
            url,
            keys: Arc::default(),
            down: Arc::default(),
            documents: Arc::default(),
            fetches: Arc::default(),
        };
        stub.publish(keys);
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/jwks", get(jwks))
            .with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        stub
    }

    pub(super) fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.jwk()).collect();
    }

    /// How often the keys were asked for.
    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    pub(super) fn documents(&self) -> usize {
        self.documents.load(Ordering::SeqCst)
    }
}

async fn document(State(stub): State<Stub>) -> impl IntoResponse {
    stub.documents.fetch_add(1, Ordering::SeqCst);
    Json(json!({"issuer": stub.url, "jwks_uri": format!("{}/jwks", stub.url)}))
}

async fn jwks(State(stub): State<Stub>) -> Result<Json<Value>, StatusCode> {
    stub.fetches.fetch_add(1, Ordering::SeqCst);
    if stub.down.load(Ordering::SeqCst) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    Ok(Json(json!({"keys": *stub.keys.lock().unwrap()})))
}
