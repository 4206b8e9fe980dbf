//! The signed assertion of a OneAPI client with a private key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

/// The `aud` of every assertion (zia-facts §2).
pub const AUDIENCE: &str = "https://api.zscaler.com";
/// How long an assertion is valid, in seconds (zia-facts §2).
const LIFE: i64 = 600;
/// RSA moduli of 2048 bits and more (zia-facts §2).
const MIN_MODULUS_BYTES: usize = 256;
const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

/// An RSA private key that signs assertions.
pub(super) struct Signer(RsaKeyPair);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
}

impl Signer {
    /// Reads a key in PEM; the error says what was expected.
    pub(super) fn new(pem: &SecretString) -> Result<Self, &'static str> {
        // Environment files often hold a key on one line, its line ends written out.
        let text = Zeroizing::new(pem.expose_secret().replace("\\n", "\n"));
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "a private key in PEM")?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err("an RSA private key, PKCS#8 or PKCS#1"),
        };
        let key = key.map_err(|_| "a sound RSA private key of 2048 to 4096 bits")?;
        if key.public().modulus_len() < MIN_MODULUS_BYTES {
            return Err("an RSA private key of at least 2048 bits");
        }
        Ok(Self(key))
    }

    /// A signed assertion for a client, valid for ten minutes; `None` if signing failed.
    pub(super) fn assertion(&self, client_id: &str, now: Timestamp) -> Option<SecretString> {
        let exp = now.as_second().saturating_add(LIFE);
        let claims = Claims { iss: client_id, sub: client_id, aud: AUDIENCE, exp };
        let claims = serde_json::to_vec(&claims).ok()?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}
