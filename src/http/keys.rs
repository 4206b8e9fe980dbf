//! The keys of an identity provider: fetched, kept, looked up.
//!
//! A token can name a key and nothing else: what is fetched, and when, follows from the settings and the
//! clock (guardrails T13). Keys that were read go on counting while the provider cannot be reached.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{HttpError, Issuer, fetch::Fetcher, jwt::algorithm};

/// Keys of this age are read again, in the background.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// Keys of this age count no more, so that one that was withdrawn does not live for ever.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause between two attempts while there are no keys at all.
const AGAIN: Duration = Duration::from_secs(5);

/// The most keys of a set that are looked at.
const MOST: usize = 64;

/// Shortest RSA modulus, in bits (RFC 7518 §3.3).
const RSA_BITS: usize = 2048;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The provider has none of this name for this algorithm.
    Unknown,
    /// The provider's keys cannot be had.
    Unavailable,
}

/// The keys of one issuer.
pub(super) struct Keys {
    issuer: Url,
    issuer_text: String,
    configured: Option<Url>,
    fetcher: Fetcher,
    /// The least pause between two readings for the sake of an unknown key.
    pause: Duration,
    /// Plain, since no await happens under it.
    state: Mutex<State>,
    /// One reading at a time; those who wait for it look again before they read themselves.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    keys: Vec<Key>,
    /// Where they are, as the provider's own document says.
    found_at: Option<Url>,
    read_at: Option<Instant>,
    /// When they were last read because of an unknown name, or in vain.
    asked_at: Option<Instant>,
}

#[derive(Clone)]
struct Key {
    kid: String,
    alg: Option<Algorithm>,
    curve: Option<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// Whether it is meant for an algorithm.
    fn suits(&self, alg: Algorithm) -> bool {
        self.key.family() == alg.family()
            && self.alg.is_none_or(|own| own == alg)
            && self.curve.is_none_or(|own| own == alg)
    }
}

/// The two members of a provider's document that matter here (RFC 8414, OpenID Connect Discovery).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn new(options: &Issuer) -> Result<Self, HttpError> {
        let wrong = |setting| HttpError::Setting { setting, expected: "a URL such as https://host" };
        let issuer = Url::parse(&options.url).map_err(|_| wrong("issuer"))?;
        let configured = options.jwks_url.as_deref().map(Url::parse).transpose();
        let fetcher = Fetcher::new(&issuer, options.extra_ca.as_deref())?;
        Ok(Self {
            issuer,
            issuer_text: options.url.clone(),
            configured: configured.map_err(|_| wrong("jwks_url"))?,
            fetcher,
            pause: options.refresh,
            state: Mutex::default(),
            turn: Arc::default(),
        })
    }

    /// The key of a name, read from the provider if it is new and its turn has come.
    pub(super) async fn find(self: &Arc<Self>, kid: &str, alg: Algorithm) -> Result<DecodingKey, Miss> {
        if let Ok(key) = self.kept(kid, alg) {
            self.read_again_if_old();
            return Ok(key);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        match self.kept(kid, alg) {
            Err(_) if self.may_ask() => {
                let this = Arc::clone(self);
                // A client that leaves must not cut the reading short, which counts whatever comes of it.
                let reading = tokio::spawn(async move {
                    let _turn = turn;
                    this.read().await;
                });
                reading.await.map_err(|_| Miss::Unavailable)?;
                self.kept(kid, alg)
            }
            kept => kept,
        }
    }

    fn kept(&self, kid: &str, alg: Algorithm) -> Result<DecodingKey, Miss> {
        let state = self.state();
        if state.read_at.is_none_or(|at| at.elapsed() >= USABLE) {
            return Err(Miss::Unavailable);
        }
        let found = state.keys.iter().find(|key| key.kid == kid && key.suits(alg));
        found.map(|key| key.key.clone()).ok_or(Miss::Unknown)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an unknown name may have the keys read; the very first reading does not count.
    fn may_ask(&self) -> bool {
        let mut state = self.state();
        let none = state.read_at.is_none_or(|at| at.elapsed() >= USABLE);
        let pause = if none { self.pause.min(AGAIN) } else { self.pause };
        let may = state.asked_at.is_none_or(|at| at.elapsed() >= pause);
        if may && (!none || state.asked_at.is_some()) {
            state.asked_at = Some(Instant::now());
        }
        may
    }

    fn read_again_if_old(self: &Arc<Self>) {
        let old = {
            let state = self.state();
            let since = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= FRESH);
            since(state.read_at) && state.asked_at.is_none_or(|at| at.elapsed() >= self.pause)
        };
        if !old {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            // Somebody else may be at it already.
            let Ok(_turn) = this.turn.try_lock() else { return };
            this.state().asked_at = Some(Instant::now());
            this.read().await;
        });
    }

    /// Reads the provider's keys; what cannot be read changes nothing.
    async fn read(&self) {
        match self.fetched().await {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the identity provider's keys were read");
                let mut state = self.state();
                (state.keys, state.read_at) = (keys, Some(Instant::now()));
            }
            Err(problem) => {
                tracing::warn!(problem, "the identity provider's keys could not be read");
                let mut state = self.state();
                // Where they are is asked again, too.
                state.found_at = None;
                state.asked_at = Some(Instant::now());
            }
        }
    }

    async fn fetched(&self) -> Result<Vec<Key>, &'static str> {
        let found = self.state().found_at.clone();
        let url = match self.configured.clone().or(found) {
            Some(url) => url,
            None => {
                let url = self.discovered().await?;
                self.state().found_at = Some(url.clone());
                url
            }
        };
        let set: Set = serde_json::from_slice(&self.fetcher.get(&url).await?).map_err(|_| "no key set")?;
        let keys: Vec<_> = set.keys.into_iter().take(MOST).filter_map(key).collect();
        if keys.is_empty() { Err("no usable key in the key set") } else { Ok(keys) }
    }

    /// Where the provider says that its keys are, which has to be at its own origin.
    async fn discovered(&self) -> Result<Url, &'static str> {
        let mut problem = "no document";
        for url in self.documents() {
            let document = match self.fetcher.get(&url).await {
                Ok(bytes) => serde_json::from_slice::<Document>(&bytes).map_err(|_| "no provider document"),
                Err(error) => Err(error),
            };
            match document {
                Ok(document) if document.issuer != self.issuer_text => {
                    return Err("the provider's document names another issuer");
                }
                Ok(document) => {
                    let url = Url::parse(&document.jwks_uri).map_err(|_| "jwks_uri is no URL")?;
                    let own = url.origin() == self.issuer.origin();
                    return if own {
                        Ok(url)
                    } else {
                        Err("the keys are at another origin; set [http] jwks_url")
                    };
                }
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// OpenID Connect Discovery appends its path to the issuer's; RFC 8414 puts its own before it.
    fn documents(&self) -> [Url; 2] {
        let path = self.issuer.path().trim_end_matches('/').to_owned();
        let at = |path: String| {
            let mut url = self.issuer.clone();
            url.set_path(&path);
            url
        };
        [
            at(format!("{path}/.well-known/openid-configuration")),
            at(format!("/.well-known/oauth-authorization-server{path}")),
        ]
    }
}

/// A key of a set, if signatures of ours may be checked with it.
fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|own| *own == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !signs || !verifies {
        return None;
    }
    let alg = match &common.key_algorithm {
        // An algorithm of no interest is one for which this key will not do.
        Some(own) => Some(algorithm(&own.to_string())?),
        None => None,
    };
    let curve = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if bits(&rsa.n) >= RSA_BITS => None,
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => Some(Algorithm::ES256),
            EllipticCurve::P384 => Some(Algorithm::ES384),
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => None,
        _ => return None,
    };
    Some(Key { kid: common.key_id.clone()?, alg, curve, key: DecodingKey::from_jwk(&jwk).ok()? })
}

/// The length of a number in base64url, in bits.
fn bits(text: &str) -> usize {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let first = bytes.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    (8 * (bytes.len() - zeros)).saturating_sub(first)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","alg":"EdDSA",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[tokio::test]
    async fn t13_a_client_that_leaves_does_not_cut_the_reading_short() {
        let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", provider.local_addr().unwrap());
        let issuer = Issuer { jwks_url: Some(format!("{url}/jwks")), ..Issuer::new(url) };
        let keys = Arc::new(Keys::new(&issuer).unwrap());

        let own = Arc::clone(&keys);
        let client = tokio::spawn(async move { own.find("one", Algorithm::EdDSA).await.map(drop) });
        let (mut asked, _) = provider.accept().await.unwrap();
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());

        assert_ne!(asked.read(&mut [0; 4096]).await.unwrap(), 0);
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{SET}",
            SET.len()
        );
        asked.write_all(answer.as_bytes()).await.unwrap();
        // Waits for the reading's turn to end, and finds what it brought.
        assert!(keys.find("one", Algorithm::EdDSA).await.is_ok());
        assert!(keys.state().asked_at.is_none(), "read once, and not in vain");
    }
}
