//! Small values that the server hands to a browser, and knows again as its own.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

use super::Records;

/// The longest sealed text that is looked at, in bytes.
const MAX_SEALED: usize = 2_048;

/// Bytes of the seal.
const SEAL: usize = 32;

impl Records {
    /// A value as text that nobody but this store's servers can make; `purpose` keeps kinds apart.
    pub(super) fn sealed(&self, purpose: &str, value: &impl Serialize) -> String {
        let mut bytes = serde_json::to_vec(value).unwrap_or_default();
        let seal = self.mac(purpose, &bytes).finalize().into_bytes();
        bytes.extend(seal);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The value of such a text, if it is one.
    pub(super) fn unsealed<T: DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<T> {
        let bytes = (text.len() <= MAX_SEALED).then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok())??;
        let (body, seal) = bytes.split_last_chunk::<SEAL>()?;
        self.mac(purpose, body).verify_slice(seal).ok()?;
        serde_json::from_slice(body).ok()
    }

    /// A secret that belongs to a name, the same each time and on each server of this store.
    pub(super) fn derived(&self, purpose: &str, name: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.mac(purpose, name.as_bytes()).finalize().into_bytes())
    }

    fn mac(&self, purpose: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let key = self.store.derived_key(purpose);
        let mut block = zeroize::Zeroizing::new([0; 64]);
        block.iter_mut().zip(key.iter()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(bytes);
        mac
    }
}
