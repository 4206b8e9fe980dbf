//! Encryption of what a person could read.
//!
//! AES-256-GCM. Every sealed value has a key of its own, derived from the wrapping key and the
//! place where the value is kept, so that it opens nowhere else. Captures have a random data key
//! each, which is sealed in turn: destroying that destroys the capture.

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Generate as _, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    StoreError,
    keys::{KeyRing, new_key},
};
use crate::model::Digest;

/// A 256-bit key.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// The format of a sealed value: this byte, the key's id, the nonce, the ciphertext.
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 12;

/// Where a sealed value is kept; it opens nowhere else.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) purpose: &'static str,
    pub(super) tenant: &'a str,
    pub(super) row: &'a str,
    /// Tells the values that one row holds in turn apart; 0 if there is one.
    pub(super) version: i64,
}

impl Place<'_> {
    /// The parts, each after its length, so that no two places look alike.
    fn bytes(&self) -> Vec<u8> {
        let parts = [self.purpose, self.tenant, self.row];
        let mut bytes = Vec::with_capacity(128);
        for part in parts {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes.extend(self.version.to_le_bytes());
        bytes
    }
}

/// A value under its own data key.
pub(super) struct Enveloped {
    /// The sealed data key, with the digest of the value.
    pub(super) key: Vec<u8>,
    /// The ciphertext.
    pub(super) body: Vec<u8>,
}

/// Seals and opens with the keys of one store.
pub(super) struct Vault {
    keys: KeyRing,
}

impl Vault {
    pub(super) fn new(keys: KeyRing) -> Self {
        Self { keys }
    }

    /// A key of its own for each label.
    pub(super) fn derived(&self, label: &str) -> Key {
        Zeroizing::new(mac(&self.keys.root, &[b"zia-mcp derived key", label.as_bytes()]))
    }

    /// A digest that only this store can compute.
    pub(super) fn digest(&self, label: &str, bytes: &[u8]) -> Digest {
        let code = mac(&self.keys.root, &[b"zia-mcp digest", label.as_bytes(), bytes]);
        Digest::from_slice(&code).unwrap_or_else(|| Digest::of(&code))
    }

    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let place = place.bytes();
        let (id, wrapping) = self.keys.active()?;
        let mut sealed = Vec::with_capacity(1 + KEY_ID_BYTES + NONCE_BYTES + plain.len() + 16);
        sealed.push(FORMAT);
        sealed.extend(id);
        sealed.extend(encrypt(&key_of(wrapping, &place), &place, plain)?);
        Ok(sealed)
    }

    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let place = place.bytes();
        let (&[format], rest) = sealed.split_first_chunk().ok_or(StoreError::Corrupt)?;
        let (id, body) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(StoreError::Corrupt)?;
        if format != FORMAT {
            return Err(StoreError::Corrupt);
        }
        decrypt(&key_of(self.keys.wrapping(id)?, &place), &place, body)
    }

    /// Seals under a new random key, which is sealed with the value's digest.
    pub(super) fn envelop(&self, place: Place<'_>, plain: &[u8]) -> Result<Enveloped, StoreError> {
        let data = new_key()?;
        let mut inner = Zeroizing::new([0; 64]);
        let (key, digest) = inner.split_at_mut(32);
        key.copy_from_slice(data.as_slice());
        digest.copy_from_slice(Digest::of(plain).as_bytes());
        let body = encrypt(&data, &place.bytes(), plain)?;
        Ok(Enveloped { key: self.seal(place, inner.as_slice())?, body })
    }

    /// The data key and the digest of what it seals.
    pub(super) fn open_key(&self, place: Place<'_>, key: &[u8]) -> Result<(Key, Digest), StoreError> {
        let inner = self.open(place, key)?;
        let (key, digest) = inner.split_first_chunk::<32>().ok_or(StoreError::Corrupt)?;
        let digest = Digest::from_slice(digest).ok_or(StoreError::Corrupt)?;
        Ok((Zeroizing::new(*key), digest))
    }

    /// Opens an enveloped value and compares its digest.
    pub(super) fn unwrap(
        &self,
        place: Place<'_>,
        key: &[u8],
        body: &[u8],
    ) -> Result<(Digest, Zeroizing<Vec<u8>>), StoreError> {
        let (data, digest) = self.open_key(place, key)?;
        let plain = decrypt(&data, &place.bytes(), body)?;
        if Digest::of(&plain) == digest { Ok((digest, plain)) } else { Err(StoreError::Corrupt) }
    }
}

/// The key of one place.
fn key_of(wrapping: &Key, place: &[u8]) -> Key {
    Zeroizing::new(mac(wrapping, &[b"zia-mcp seal", place]))
}

/// HMAC-SHA-256 over parts, each after its length.
pub(super) fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    // HMAC pads a short key with zeros to one block.
    let mut block = Zeroizing::new([0; 64]);
    block.iter_mut().zip(key.iter()).for_each(|(to, from)| *to = *from);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn encrypt(key: &Key, place: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let nonce = <[u8; NONCE_BYTES]>::try_generate()
        .map_err(|_| StoreError::unavailable("the system gave no random bytes"))?;
    let body = Aes256Gcm::new((&**key).into())
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: place })
        .map_err(|_| StoreError::unavailable("a value is too large to be sealed"))?;
    Ok([nonce.as_slice(), &body].concat())
}

fn decrypt(key: &Key, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(StoreError::Corrupt)?;
    Aes256Gcm::new((&**key).into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: place })
        .map(Zeroizing::new)
        .map_err(|_| StoreError::Corrupt)
}
