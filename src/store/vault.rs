//! Encryption of what a person could read.
//!
//! AES-256-GCM. Every sealed value has a key of its own, derived from the wrapping key and the
//! place where the value is kept, so that it opens nowhere else. Captures have a random data key
//! each, which is sealed in turn: destroying that destroys the capture.
//!
//! A value names the key that sealed it. A process that meets one it does not know reads the key
//! file again, so that keys can be changed while it runs.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Generate as _, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    StoreError,
    keys::{self, KeyId, KeyRing, new_key},
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
    root: Key,
    /// Where the keys come from; read again when another process changed them.
    file: Option<PathBuf>,
    /// Plain, since no await happens under it.
    keys: RwLock<Keys>,
}

/// The wrapping keys as this process knows them.
#[derive(Clone)]
struct Keys {
    ring: Arc<KeyRing>,
    /// The one that seals.
    seals: KeyId,
}

impl Vault {
    pub(super) fn new(ring: KeyRing, file: Option<PathBuf>) -> Result<Self, StoreError> {
        let (root, seals) = (ring.root.clone(), ring.newest()?);
        Ok(Self { root, file, keys: RwLock::new(Keys { ring: Arc::new(ring), seals }) })
    }

    /// A key of its own for each label.
    pub(super) fn derived(&self, label: &str) -> Key {
        Zeroizing::new(mac(&self.root, &[b"zia-mcp derived key", label.as_bytes()]))
    }

    /// A digest that only this store can compute.
    pub(super) fn digest(&self, label: &str, bytes: &[u8]) -> Digest {
        let code = mac(&self.root, &[b"zia-mcp digest", label.as_bytes(), bytes]);
        Digest::from_slice(&code).unwrap_or_else(|| Digest::of(&code))
    }

    /// The key file.
    pub(super) fn file(&self) -> Result<&Path, StoreError> {
        self.file.as_deref().ok_or(StoreError::WrongKey)
    }

    fn keys(&self) -> Keys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key file as it is now; it must be this store's.
    pub(super) fn read_file(&self) -> Result<KeyRing, StoreError> {
        let read = keys::load(self.file()?)?;
        let fits = *read.root == *self.root && read.wrapping(&self.keys().seals).is_some();
        if fits { Ok(read) } else { Err(StoreError::WrongKey) }
    }

    /// Reads the key file again; keys that are known stay known, for what was read before.
    fn read_again(&self) -> Result<Arc<KeyRing>, StoreError> {
        let Some(file) = &self.file else { return Ok(self.keys().ring) };
        let read = keys::load(file)?;
        if *read.root != *self.root {
            return Err(StoreError::WrongKey);
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.ring = Arc::new(read.knowing(&keys.ring));
        Ok(keys.ring.clone())
    }

    /// The keys, with this one if the key file has it.
    fn ring_with(&self, id: &KeyId) -> Result<Arc<KeyRing>, StoreError> {
        let ring = self.keys().ring;
        if ring.wrapping(id).is_some() { Ok(ring) } else { self.read_again() }
    }

    /// Seals with the key of this id from now on.
    ///
    /// # Errors
    /// `WrongKey` if neither this process nor the key file has it.
    pub(super) fn seal_with(&self, id: KeyId) -> Result<(), StoreError> {
        if self.keys().seals == id {
            return Ok(());
        }
        self.ring_with(&id)?.wrapping(&id).ok_or(StoreError::WrongKey)?;
        self.keys.write().unwrap_or_else(PoisonError::into_inner).seals = id;
        Ok(())
    }

    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.seal_by(self.keys().seals, place, plain)
    }

    /// Seals with the key of this id.
    pub(super) fn seal_by(&self, id: KeyId, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let place = place.bytes();
        let ring = self.ring_with(&id)?;
        let wrapping = ring.wrapping(&id).ok_or(StoreError::WrongKey)?;
        let mut sealed = Vec::with_capacity(1 + KEY_ID_BYTES + NONCE_BYTES + plain.len() + 16);
        sealed.push(FORMAT);
        sealed.extend(id);
        sealed.extend(encrypt(&key_of(wrapping, &place), &place, plain)?);
        Ok(sealed)
    }

    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let place = place.bytes();
        let (id, body) = parts(sealed)?;
        let ring = self.ring_with(&id)?;
        let wrapping = ring.wrapping(&id).ok_or(StoreError::Corrupt)?;
        decrypt(&key_of(wrapping, &place), &place, body)
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

/// The id of the key that sealed a value.
pub(super) fn sealed_by(sealed: &[u8]) -> Result<KeyId, StoreError> {
    parts(sealed).map(|(id, _)| id)
}

/// A sealed value's key id, and what comes after it.
fn parts(sealed: &[u8]) -> Result<(KeyId, &[u8]), StoreError> {
    let (&[format], rest) = sealed.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let (id, body) = rest.split_first_chunk::<KEY_ID_BYTES>().ok_or(StoreError::Corrupt)?;
    if format == FORMAT { Ok((*id, body)) } else { Err(StoreError::Corrupt) }
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
