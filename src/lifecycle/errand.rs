//! An errand to the identity provider: somebody was sent there to sign in, and comes back once.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::{Records, failure::Failure};
use crate::model::OperationId;

/// How long somebody may take to sign in.
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(10);

/// What keeps errands and what belongs to them apart from other sealed texts.
const PURPOSE: &str = "console errand";
const STATE: &str = "console errand state";
const NONCE: &str = "console errand nonce";
const VERIFIER: &str = "console errand verifier";

/// Somebody on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    id: String,
    /// The operation they want to decide on; none if they only want to look.
    pub operation: Option<OperationId>,
    since: Timestamp,
}

/// What goes with an errand, none of which the browser's cookie tells.
#[derive(Clone)]
pub struct Luggage {
    /// Comes back in the address.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// Proves that whoever asks for the token began the errand (RFC 7636).
    pub verifier: String,
}

impl Records {
    /// A new errand, and the text that its browser keeps.
    pub fn begin_errand(&self, operation: Option<OperationId>) -> (Errand, String) {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let errand = Errand { id, operation, since: self.clock.now() };
        let text = self.sealed(PURPOSE, &errand);
        (errand, text)
    }

    /// What goes with an errand.
    pub fn luggage(&self, errand: &Errand) -> Luggage {
        let derived = |purpose| self.derived(purpose, &errand.id);
        Luggage { state: derived(STATE), nonce: derived(NONCE), verifier: derived(VERIFIER) }
    }

    /// How long ago an errand began.
    pub fn age(&self, errand: &Errand) -> SignedDuration {
        self.clock.now().duration_since(errand.since)
    }

    /// Ends an errand: once, in time, in the browser that began it, with the state that it left with.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn end_errand(&self, text: &str, state: &str) -> Result<Option<Errand>, Failure> {
        let Some(errand) = self.unsealed::<Errand>(PURPOSE, text) else { return Ok(None) };
        let until = errand.since.saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        let own = self.luggage(&errand).state;
        if until <= self.clock.now() || !bool::from(own.as_bytes().ct_eq(state.as_bytes())) {
            return Ok(None);
        }
        let kept = until.saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        Ok(self.store.burn_nonce(&errand.id, kept).await?.then_some(errand))
    }
}
