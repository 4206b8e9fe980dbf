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

/// Somebody who proved themself for one operation, and when.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Who it is.
    pub person: Person,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Pass {
    by: Person,
    operation: OperationId,
    at: Timestamp,
    nonce: String,
}

impl Records {
    /// Somebody who proved themself a moment ago.
    pub fn proven(&self, person: Person) -> Proven {
        Proven { person, at: self.clock.now() }
    }

    /// A pass for somebody, good for five minutes from their proof, however many they get.
    pub fn pass(&self, by: &Proven, operation: &OperationId) -> String {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let pass = Pass { by: by.person.clone(), operation: operation.clone(), at: by.at, nonce };
        self.sealed(PURPOSE, &pass)
    }

    /// Uses a pass up; whose it is, if they may still approve.
    ///
    /// # Errors
    /// `FORBIDDEN` for one that is forged, of another operation, late or used; `STORE_UNAVAILABLE`.
    pub async fn take_pass(&self, text: &str, operation: &OperationId) -> Result<Proven, Failure> {
        let refused =
            || Failure::new(Code::Forbidden, "this sign-in is over, or was used already", "sign in again");
        let pass: Pass = self.unsealed(PURPOSE, text).ok_or_else(refused)?;
        let until = pass.at.saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        // A used one stays refused for as long as it would have been good.
        let kept = until.saturating_add(GOOD_FOR).unwrap_or(Timestamp::MAX);
        let fits = pass.operation == *operation && until > self.clock.now();
        let fresh = fits && self.store.burn_nonce(&pass.nonce, kept).await?;
        if fresh && self.may_view(&pass.by, pass.at).await? {
            Ok(Proven { person: pass.by, at: pass.at })
        } else {
            Err(refused())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::viewer::tests::Bench;

    #[tokio::test]
    async fn another_try_does_not_renew_the_five_minutes() {
        let bench = Bench::new().await;
        bench.records.enrol("Olga").await.unwrap();
        let operation = OperationId::random();
        let mut pass = bench.records.pass(&bench.records.proven(Person::enrolled("Olga")), &operation);
        for minute in 0..5 {
            let taken = bench.records.take_pass(&pass, &operation).await.expect("in time");
            assert!(bench.records.take_pass(&pass, &operation).await.is_err(), "minute {minute}: once");
            pass = bench.records.pass(&taken, &operation);
            bench.later(1);
        }
        assert_eq!(bench.records.take_pass(&pass, &operation).await.unwrap_err().code, Code::Forbidden);
    }

    #[tokio::test]
    async fn t22_a_removed_approvers_pass_is_nothing_and_a_namesake_does_not_inherit_it() {
        let bench = Bench::new().await;
        bench.records.enrol("Olga").await.unwrap();
        let operation = OperationId::random();
        let pass = || bench.records.pass(&bench.records.proven(Person::enrolled("Olga")), &operation);
        let (first, second) = (pass(), pass());
        bench.records.remove_approver("Olga").await.unwrap();
        assert!(bench.records.take_pass(&first, &operation).await.is_err());
        bench.later(1);
        bench.records.enrol("Olga").await.unwrap();
        assert!(bench.records.take_pass(&second, &operation).await.is_err());
        assert!(bench.records.take_pass(&pass(), &operation).await.is_ok());
    }
}
