//! A pass: says for five minutes that somebody proved themself for one operation.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{
    Records,
    failure::{Code, Failure},
};
use crate::model::OperationId;

/// How long after the code a decision is taken (contract §4).
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(5);

/// The longest pass that is looked at, in bytes.
const MAX_PASS: usize = 2_048;

/// Bytes of the seal.
const SEAL: usize = 32;

#[derive(Serialize, Deserialize)]
struct Pass {
    by: String,
    operation: OperationId,
    until: Timestamp,
    nonce: String,
}

impl Records {
    /// A pass for somebody whose code was right.
    pub fn pass(&self, by: &str, operation: &OperationId) -> String {
        let until = self.clock.now().saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let pass = Pass { by: by.to_owned(), operation: operation.clone(), until, nonce };
        let mut bytes = serde_json::to_vec(&pass).unwrap_or_default();
        let seal = self.seal(&bytes).finalize().into_bytes();
        bytes.extend(seal);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Uses a pass up; whose it is, if they may still approve.
    ///
    /// # Errors
    /// `FORBIDDEN` for one that is forged, of another operation, late or used; `STORE_UNAVAILABLE`.
    pub async fn take_pass(&self, text: &str, operation: &OperationId) -> Result<String, Failure> {
        let refused =
            || Failure::new(Code::Forbidden, "this sign-in is over, or was used already", "sign in again");
        let pass = self.opened(text).filter(|pass| pass.operation == *operation).ok_or_else(refused)?;
        // A used one stays refused for as long as it would have been good.
        let kept = pass.until.saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        let fresh = pass.until > self.clock.now() && self.store.burn_nonce(&pass.nonce, kept).await?;
        let enrolled = fresh && self.store.approvers().await?.iter().any(|a| a.name == pass.by);
        if enrolled { Ok(pass.by) } else { Err(refused()) }
    }

    fn opened(&self, text: &str) -> Option<Pass> {
        let bytes = (text.len() <= MAX_PASS).then(|| BASE64_URL_SAFE_NO_PAD.decode(text).ok())??;
        let (body, seal) = bytes.split_last_chunk::<SEAL>()?;
        self.seal(body).verify_slice(seal).ok()?;
        serde_json::from_slice(body).ok()
    }

    fn seal(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let key = self.store.derived_key("console pass");
        let mut block = zeroize::Zeroizing::new([0; 64]);
        block.iter_mut().zip(key.iter()).for_each(|(to, from)| *to = *from);
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(bytes);
        mac
    }
}
