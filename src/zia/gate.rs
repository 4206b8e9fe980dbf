//! One session or token at a time, however many calls wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout_at},
};

use super::{
    Deadline,
    endpoints::Endpoint,
    error::{Kind, SignInProblem},
    fault::Fault,
    line::Line,
    oneapi::ClientSignOn,
    session::ApiKeySignOn,
};
use crate::telemetry::spans;

/// How long nothing is tried after refused credentials: more tries lock the account (F13).
const CIRCUIT: Duration = Duration::from_secs(15 * 60);

/// The two ways to sign in.
pub(super) enum SignOn {
    ApiKey(ApiKeySignOn),
    OneApi(ClientSignOn),
}

impl SignOn {
    fn endpoint(&self) -> Endpoint {
        match self {
            Self::ApiKey(_) => Endpoint::SignIn,
            Self::OneApi(_) => Endpoint::Token,
        }
    }

    async fn sign_on(&self, line: &Line, until: Deadline) -> Result<Credential, Fault> {
        match self {
            Self::ApiKey(way) => way.sign_on(line, until).await,
            Self::OneApi(way) => way.sign_on(line, until).await,
        }
    }
}

/// What a sign-in gave.
pub(super) struct Credential {
    pub(super) header: (HeaderName, HeaderValue),
    pub(super) life: Life,
}

/// When a credential is no longer sent.
#[derive(Clone, Copy)]
pub(super) enum Life {
    /// After so long without use.
    Idle(Duration),
    /// At a time.
    Until(Instant),
}

/// A credential for one request, and which one it is.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) header: (HeaderName, HeaderValue),
    serial: u64,
}

/// Hands out passes; signs in when there is work and no credential that will do.
pub(super) struct Gate {
    line: Arc<Line>,
    way: SignOn,
    /// Held during a sign-in: everyone else waits for its result.
    state: Arc<Mutex<State>>,
    /// Sign-ins that ended, either way.
    ended: AtomicU64,
    /// Serial of the newest credential that ZIA refused.
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    serial: u64,
    /// The last failure, and the count of ended sign-ins it made.
    failed: Option<(u64, Fault)>,
    closed_until: Option<Instant>,
}

struct Held {
    pass: Pass,
    life: Life,
    used: Instant,
}

impl Held {
    fn is_fresh(&self, now: Instant) -> bool {
        match self.life {
            Life::Idle(longest) => now.saturating_duration_since(self.used) < longest,
            Life::Until(end) => now < end,
        }
    }
}

impl Gate {
    pub(super) fn new(line: Arc<Line>, way: SignOn) -> Self {
        Self { line, way, state: Arc::default(), ended: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    /// A pass that ZIA should accept, signing in if need be.
    pub(super) async fn pass(self: &Arc<Self>, until: Deadline) -> Result<Pass, Fault> {
        let seen = self.ended.load(Ordering::Acquire);
        let state = timeout_at(until.at, self.state.clone().lock_owned()).await;
        let mut state = state.map_err(|_| Fault::late())?;
        if let Some(pass) = self.fresh(&mut state) {
            return Ok(pass);
        }
        // Those who waited while a sign-in failed share its failure instead of each trying anew.
        if let Some((_, fault)) = state.failed.as_ref().filter(|(ended, _)| *ended > seen) {
            return Err(fault.clone());
        }
        if state.closed_until.is_some_and(|end| Instant::now() < end) {
            return Err(Fault::sign_in(SignInProblem::CircuitOpen));
        }
        // A task of its own: a caller who gives up must not undo what others wait for, nor hide a refusal.
        let gate = self.clone();
        let task = tokio::spawn(spans::carried(async move { gate.sign_on(state, until).await }));
        match timeout_at(until.at, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::garbled()),
            Err(_) => Err(Fault::late()),
        }
    }

    async fn sign_on(&self, mut state: OwnedMutexGuard<State>, until: Deadline) -> Result<Pass, Fault> {
        let span = spans::zia_call(self.way.endpoint().name());
        let result = span.around(self.way.sign_on(&self.line, until)).await;
        if let Err(fault) = &result {
            span.failed(fault.kind.word());
        }
        drop(span);
        let ended = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        match result {
            Ok(credential) => {
                state.serial += 1;
                let pass = Pass { header: credential.header, serial: state.serial };
                let held = Held { pass: pass.clone(), life: credential.life, used: Instant::now() };
                (state.held, state.failed, state.closed_until) = (Some(held), None, None);
                Ok(pass)
            }
            Err(fault) => {
                if fault.kind == Kind::SignIn(SignInProblem::Refused) {
                    state.closed_until = Some(Instant::now() + CIRCUIT);
                    tracing::error!(
                        zia.code = fault.code,
                        "sign-in was refused and is suspended for 15 minutes"
                    );
                }
                state.failed = Some((ended, fault.clone()));
                Err(fault)
            }
        }
    }

    fn fresh(&self, state: &mut State) -> Option<Pass> {
        let (now, lost) = (Instant::now(), self.lost.load(Ordering::Acquire));
        let held = state.held.as_mut().filter(|held| held.pass.serial > lost && held.is_fresh(now))?;
        held.used = now;
        Some(held.pass.clone())
    }

    /// Notes that ZIA does not accept a pass; a newer one stays.
    pub(super) fn lose(&self, pass: &Pass) {
        self.lost.fetch_max(pass.serial, Ordering::AcqRel);
    }

    /// Whether a credential is held that ZIA should accept.
    pub(super) async fn is_open(&self) -> bool {
        let (now, lost) = (Instant::now(), self.lost.load(Ordering::Acquire));
        self.state
            .lock()
            .await
            .held
            .as_ref()
            .is_some_and(|held| held.pass.serial > lost && held.is_fresh(now))
    }

    /// Takes the credential out of use, if there is one.
    pub(super) async fn close(&self) -> Option<Pass> {
        let lost = self.lost.load(Ordering::Acquire);
        let held = self.state.lock().await.held.take()?;
        Some(held.pass).filter(|pass| pass.serial > lost)
    }
}
