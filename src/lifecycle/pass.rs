//! A pass: says for five minutes that somebody proved themself for one operation.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Records,
    failure::{Code, Failure},
    viewer::Person,
};
use crate::model::OperationId;

/// How long after the proof a decision is taken (contract §4).
const GOOD_FOR: SignedDuration = SignedDuration::from_mins(5);

/// What keeps a pass apart from other sealed texts.
const PURPOSE: &str = "console pass";

#[derive(Serialize, Deserialize)]
struct Pass {
    by: Person,
    operation: OperationId,
    until: Timestamp,
    nonce: String,
}

impl Records {
    /// A pass for somebody who proved themself a moment ago.
    pub fn pass(&self, by: &Person, operation: &OperationId) -> String {
        let until = self.clock.now().saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        self.sealed(PURPOSE, &Pass { by: by.clone(), operation: operation.clone(), until, nonce })
    }

    /// Uses a pass up; whose it is, if they may still approve.
    ///
    /// # Errors
    /// `FORBIDDEN` for one that is forged, of another operation, late or used; `STORE_UNAVAILABLE`.
    pub async fn take_pass(&self, text: &str, operation: &OperationId) -> Result<Person, Failure> {
        let refused =
            || Failure::new(Code::Forbidden, "this sign-in is over, or was used already", "sign in again");
        let pass: Pass = self.unsealed(PURPOSE, text).ok_or_else(refused)?;
        // A used one stays refused for as long as it would have been good.
        let kept = pass.until.saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        let fits = pass.operation == *operation && pass.until > self.clock.now();
        let fresh = fits && self.store.burn_nonce(&pass.nonce, kept).await?;
        if fresh && self.may_view(&pass.by, None).await? { Ok(pass.by) } else { Err(refused()) }
    }
}
