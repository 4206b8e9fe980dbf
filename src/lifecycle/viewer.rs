//! Who looks at the console: people who signed in, for as long as their session lasts.
//!
//! A session lets somebody read. A decision always needs a proof of its own.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Records, audit::entry, failure::Failure};
use crate::{
    model::OperationId,
    store::{NO_TENANT, Proof},
};

/// How long a session lasts without a page being opened.
const IDLE: SignedDuration = SignedDuration::from_mins(15);

/// The longest that a session of an enrolled approver lasts.
const LONGEST: SignedDuration = SignedDuration::from_hours(8);

/// The same for who signed in elsewhere: only signing in again shows whether they still may.
const LONGEST_ELSEWHERE: SignedDuration = SignedDuration::from_hours(1);

/// How much of the idle time passes before a session's text is made anew.
const RENEW_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// What keeps sessions and their form tokens apart from other sealed texts.
const PURPOSE: &str = "console session";
const FORM: &str = "console form";

/// Somebody who may approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name they go by.
    pub name: String,
    /// Who they are at the identity provider, its `sub`; `None` for an enrolled approver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

impl Person {
    /// An approver who was enrolled here.
    pub fn enrolled(name: impl Into<String>) -> Self {
        Self { name: name.into(), subject: None }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    id: String,
    by: Person,
    since: Timestamp,
    seen: Timestamp,
}

/// Somebody whose session is good.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Who it is.
    pub person: Person,
    session: Session,
    renewed: bool,
}

/// What a sign-in came to.
#[derive(Clone, Debug)]
pub enum SignIn {
    /// They are in.
    Welcome(Viewer),
    /// Wrong name or code, or a code that was used.
    Wrong,
    /// Too many wrong codes: none is looked at before then.
    Locked(Timestamp),
}

impl Records {
    /// Signs an enrolled approver in by a one-time code, which is used up if it is right.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`, `AUDIT_UNAVAILABLE`.
    pub async fn sign_in(&self, name: &str, code: &str) -> Result<SignIn, Failure> {
        Ok(match self.proof_of(None, name, code).await? {
            Proof::Right(name) => SignIn::Welcome(self.begin_session(Person::enrolled(name)).await?),
            Proof::Wrong => SignIn::Wrong,
            Proof::Locked(until) => SignIn::Locked(until),
        })
    }

    /// A session for somebody who proved themself a moment ago; it is on record.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`.
    pub async fn begin_session(&self, person: Person) -> Result<Viewer, Failure> {
        let now = self.clock.now();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let digest = self.store.approver_digest(&person.name);
        let audit = entry("console.signed_in", [("approver", digest.into())]);
        self.store.audit(NO_TENANT, None, None, audit).await?;
        let session = Session { id, by: person.clone(), since: now, seen: now };
        Ok(Viewer { person, session, renewed: true })
    }

    /// Puts on record that the identity provider let somebody in, or not, who was then refused here.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`.
    pub async fn note_refusal(
        &self,
        why: &'static str,
        operation: Option<&OperationId>,
    ) -> Result<(), Failure> {
        let known = match operation {
            Some(id) => self.store.operation(id).await?,
            None => None,
        };
        let audit = entry("console.sign_in_refused", [("why", why.into())]);
        let tenant = known.as_ref().map_or(NO_TENANT, |o| o.tenant.as_str());
        Ok(self.store.audit(tenant, known.as_ref().map(|o| &o.id), None, audit).await?)
    }

    /// Whose session this is, if it is one of ours, still lasts, and they may still approve.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn viewer(&self, text: &str) -> Result<Option<Viewer>, Failure> {
        let Some(mut session) = self.unsealed::<Session>(PURPOSE, text) else { return Ok(None) };
        let now = self.clock.now();
        let longest = if session.by.subject.is_some() { LONGEST_ELSEWHERE } else { LONGEST };
        let lasts = now.duration_since(session.seen) < IDLE && now.duration_since(session.since) < longest;
        if !lasts || self.store.is_burnt(&session.id).await? {
            return Ok(None);
        }
        if !self.may_view(&session.by, session.since).await? {
            return Ok(None);
        }
        let renewed = now.duration_since(session.seen) >= RENEW_AFTER;
        if renewed {
            session.seen = now;
        }
        Ok(Some(Viewer { person: session.by.clone(), session, renewed }))
    }

    /// The text of a session, to be kept by the browser; `None` if the one it has will do.
    pub fn session_text(&self, viewer: &Viewer) -> Option<String> {
        viewer.renewed.then(|| self.sealed(PURPOSE, &viewer.session))
    }

    /// The token that a session's forms carry.
    pub fn form_token(&self, viewer: &Viewer) -> String {
        self.sealed(FORM, &viewer.session.id)
    }

    /// Whether a form came from a page of this session.
    pub fn is_own_form(&self, viewer: &Viewer, token: &str) -> bool {
        self.unsealed::<String>(FORM, token).is_some_and(|id| id == viewer.session.id)
    }

    /// Ends a session, every copy of it.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn end_session(&self, viewer: &Viewer) -> Result<(), Failure> {
        let until = self.clock.now().saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
        self.store.burn_nonce(&viewer.session.id, until).await?;
        Ok(())
    }

    /// Whether somebody who proved themself then may still approve: not after `approver remove`, and not
    /// by a proof that is older than their enrolment.
    pub(super) async fn may_view(&self, person: &Person, since: Timestamp) -> Result<bool, Failure> {
        if person.subject.is_some() {
            return Ok(true);
        }
        let approvers = self.store.approvers().await?;
        Ok(approvers.iter().any(|a| a.name == person.name && a.enrolled_at <= since))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use super::*;
    use crate::{
        model::Clock,
        store::{Settings, Store},
    };

    pub(in crate::lifecycle) struct Bench {
        pub(in crate::lifecycle) records: Records,
        minutes: Arc<AtomicI64>,
        _place: tempfile::TempDir,
    }

    impl Bench {
        pub(in crate::lifecycle) async fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            let state_dir = place.path().join("state");
            let minutes = Arc::new(AtomicI64::new(0));
            let ahead = minutes.clone();
            let clock = Clock::from_fn(move || {
                "2026-01-05T10:00:00Z".parse::<Timestamp>().unwrap()
                    + SignedDuration::from_mins(ahead.load(Ordering::SeqCst))
            });
            let store = Store::open(&Settings::embedded(state_dir), clock.clone()).await.unwrap();
            Self { records: Records::new(store, clock), minutes, _place: place }
        }

        pub(in crate::lifecycle) fn later(&self, minutes: i64) {
            self.minutes.fetch_add(minutes, Ordering::SeqCst);
        }

        /// The text of a new session of Olga's.
        async fn session(&self) -> String {
            let viewer = self.records.begin_session(Person::enrolled("Olga")).await.unwrap();
            self.records.session_text(&viewer).unwrap()
        }

        async fn sees(&self, text: &str) -> Option<Viewer> {
            self.records.viewer(text).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_session_ends_after_15_idle_minutes_and_after_8_hours_in_use() {
        let bench = Bench::new().await;
        bench.records.enrol("Olga").await.unwrap();
        let mut text = bench.session().await;
        bench.later(14);
        assert!(bench.sees(&text).await.is_some());
        bench.later(1);
        assert!(bench.sees(&text).await.is_none(), "idle");
        text = bench.session().await;
        for _ in 0..47 {
            bench.later(10);
            let viewer = bench.sees(&text).await.expect("in use");
            text = bench.records.session_text(&viewer).unwrap();
        }
        bench.later(10);
        assert!(bench.sees(&text).await.is_none(), "eight hours");
    }

    #[tokio::test]
    async fn t21_signing_out_ends_every_copy_of_a_session() {
        let bench = Bench::new().await;
        bench.records.enrol("Olga").await.unwrap();
        let first = bench.session().await;
        bench.later(5);
        let viewer = bench.sees(&first).await.unwrap();
        let second = bench.records.session_text(&viewer).unwrap();
        bench.records.end_session(&viewer).await.unwrap();
        assert!(bench.sees(&first).await.is_none() && bench.sees(&second).await.is_none());
    }

    #[tokio::test]
    async fn t22_a_removed_approver_is_out_at_once_and_a_namesake_does_not_inherit_the_session() {
        let bench = Bench::new().await;
        bench.records.enrol("Olga").await.unwrap();
        let text = bench.session().await;
        bench.records.remove_approver("Olga").await.unwrap();
        assert!(bench.sees(&text).await.is_none());
        bench.later(1);
        bench.records.enrol("Olga").await.unwrap();
        assert!(bench.sees(&text).await.is_none());
        assert!(bench.sees(&bench.session().await).await.is_some());
    }

    #[tokio::test]
    async fn t21_a_forms_token_is_its_sessions_own_and_no_session_is_forged() {
        let bench = Bench::new().await;
        bench.records.enrol("Olga").await.unwrap();
        let (one, other) = (bench.session().await, bench.session().await);
        let (one_viewer, other_viewer) = (bench.sees(&one).await.unwrap(), bench.sees(&other).await.unwrap());
        let token = bench.records.form_token(&one_viewer);
        assert!(bench.records.is_own_form(&one_viewer, &token));
        assert!(!bench.records.is_own_form(&other_viewer, &token));
        for wrong in ["", "x", &one, &token[1..], &format!("{token}A")] {
            assert!(!bench.records.is_own_form(&one_viewer, wrong), "{wrong}");
        }
        let operation = crate::model::OperationId::random();
        let pass = bench.records.pass(&bench.records.proven(Person::enrolled("Olga")), &operation);
        for wrong in [pass.as_str(), &token, "", &one[1..], &format!("{one}A"), &"A".repeat(4_000)] {
            assert!(bench.sees(wrong).await.is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn who_signed_in_elsewhere_has_an_hour() {
        let bench = Bench::new().await;
        let person = Person { name: "olga@example.com".into(), subject: Some("0f3a".into()) };
        let viewer = bench.records.begin_session(person).await.unwrap();
        let mut text = bench.records.session_text(&viewer).unwrap();
        for _ in 0..5 {
            bench.later(10);
            let viewer = bench.sees(&text).await.expect("in use");
            text = bench.records.session_text(&viewer).unwrap();
        }
        bench.later(10);
        assert!(bench.sees(&text).await.is_none());
    }
}
