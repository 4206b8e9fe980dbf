//! The signed assertion by which a OneAPI client proves itself.

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The audience of tokens and assertions (zia-facts §2).
pub(super) const AUDIENCE: &str = "https://api.zscaler.com";

/// How far ahead an assertion may expire, in seconds; clients say 600 (zia-facts §2).
const LONGEST_LIFE: i64 = 60 * 60;

/// What precedes the key in an RSA `SubjectPublicKeyInfo`: the algorithm, then a bit string.
const RSA_ALGORITHM: [u8; 16] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03];

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
}

/// Checks an RS256 assertion of the client at `now`, in Unix seconds.
///
/// # Errors
/// Why it is refused.
pub(super) fn verify(assertion: &str, key_pem: &str, client: &str, now: i64) -> Result<(), &'static str> {
    let (signed, signature) = assertion.rsplit_once('.').ok_or("the assertion has no signature")?;
    let (header, claims) = signed.split_once('.').ok_or("the assertion has no claims")?;
    let header: Header = part(header).ok_or("the assertion's header cannot be read")?;
    if header.alg != "RS256" {
        return Err("the assertion is not signed with RS256");
    }
    let key = pkcs1(key_pem).ok_or("the client's public key cannot be read")?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| "the signature is not base64url")?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| "the signature is not of the client's key")?;
    let claims: Claims = part(claims).ok_or("the assertion's claims cannot be read")?;
    check(&claims, client, now)
}

fn check(claims: &Claims, client: &str, now: i64) -> Result<(), &'static str> {
    if claims.iss != client || claims.sub != client {
        return Err("iss and sub are not the client");
    }
    if claims.aud != AUDIENCE {
        return Err("aud is another");
    }
    match claims.exp - now {
        left if left <= 0 => Err("the assertion has expired"),
        left if left > LONGEST_LIFE => Err("the assertion expires too late"),
        _ => Ok(()),
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The PKCS#1 key in a PEM text, bare or wrapped as `SubjectPublicKeyInfo`.
pub(super) fn pkcs1(pem: &str) -> Option<Vec<u8>> {
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let der = BASE64_STANDARD.decode(base64).ok()?;
    let Some(at) = der.windows(RSA_ALGORITHM.len()).position(|window| window == RSA_ALGORITHM) else {
        return Some(der);
    };
    // Of 2048 bits and more, the bit string's length takes three bytes; one more counts unused bits.
    der.get(at + RSA_ALGORITHM.len() + 4..).map(<[u8]>::to_vec)
}
