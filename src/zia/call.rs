//! One call: sign-in, pacing, sending, and repeats of what ZIA certainly did not do.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{
    Deadline,
    endpoints::{Call, Endpoint},
    error::Error,
    fault::{Again, Fault},
    gate::{Gate, Pass},
    line::Line,
    outcome::{Meaning, judge},
    send::{Body, Prepared},
    settings::{Jitter, Timeouts},
};
use crate::{
    model::SendPermit,
    telemetry::spans::{self, Span},
};

/// How often a read is tried against passing failures.
const TRIES: u32 = 3;

/// Makes calls.
pub(super) struct Caller {
    pub(super) base: Url,
    pub(super) line: Arc<Line>,
    pub(super) gate: Arc<Gate>,
    pub(super) timeouts: Timeouts,
    pub(super) jitter: Jitter,
}

impl Caller {
    /// Makes a call, with repeats, within the caller's time; a write with its permit.
    pub(super) async fn call<C: Call>(
        &self,
        call: &C,
        permit: Option<&dyn SendPermit>,
        until: Deadline,
    ) -> Result<C::Output, Error> {
        let span = spans::zia_call(C::ENDPOINT.name());
        let mut effort = Effort::new(C::ENDPOINT);
        let result = span.around(self.repeated(call, permit, &mut effort, until)).await;
        effort.tell(&span, result.as_ref().err());
        result
    }

    async fn repeated<C: Call>(
        &self,
        call: &C,
        permit: Option<&dyn SendPermit>,
        effort: &mut Effort,
        until: Deadline,
    ) -> Result<C::Output, Error> {
        loop {
            let fault = match self.attempt(call, permit, effort, until).await {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            match effort.pause(&fault, &self.timeouts, &self.jitter) {
                Some(pause) if Instant::now() + pause <= until.at => sleep(pause).await,
                _ => return Err(effort.error(fault)),
            }
        }
    }

    async fn attempt<C: Call>(
        &self,
        call: &C,
        permit: Option<&dyn SendPermit>,
        effort: &mut Effort,
        until: Deadline,
    ) -> Result<C::Output, Fault> {
        let pass = self.gate.pass(until).await?;
        self.with_pass(call, pass, permit, effort, until).await
    }

    /// Makes a call once, with a pass that is there already.
    pub(super) async fn once<C: Call>(
        &self,
        call: &C,
        pass: Pass,
        until: Deadline,
    ) -> Result<C::Output, Error> {
        let span = spans::zia_call(C::ENDPOINT.name());
        let mut effort = Effort::new(C::ENDPOINT);
        let result = span.around(self.with_pass(call, pass, None, &mut effort, until)).await;
        let result = result.map_err(|fault| effort.error(fault));
        effort.tell(&span, result.as_ref().err());
        result
    }

    async fn with_pass<C: Call>(
        &self,
        call: &C,
        pass: Pass,
        permit: Option<&dyn SendPermit>,
        effort: &mut Effort,
        until: Deadline,
    ) -> Result<C::Output, Fault> {
        let prepared = self.prepare(call, &pass).ok_or_else(Fault::refused)?;
        let reply = self.line.exchange(prepared, permit, until).await;
        effort.attempts += u32::from(!matches!(&reply, Err(fault) if fault.again == Again::Never));
        let reply = reply.inspect_err(|fault| effort.status = fault.status())?;
        effort.status = Some(reply.status);
        judge(call, &reply).map_err(|refusal| {
            if refusal.meaning == Meaning::SessionLost {
                self.gate.lose(&pass);
            }
            refusal.fault(&reply, C::ENDPOINT.is_write())
        })
    }

    fn prepare<C: Call>(&self, call: &C, pass: &Pass) -> Option<Prepared> {
        let url = Url::parse(&format!("{}{}", self.base, call.target())).ok()?;
        let body = call.body().map(|bytes| Body { content_type: "application/json", bytes });
        Some(Prepared { endpoint: C::ENDPOINT, url, credential: Some(pass.header.clone()), body })
    }
}

/// What a call has cost so far.
pub(super) struct Effort {
    endpoint: Endpoint,
    start: Instant,
    attempts: u32,
    passing: u32,
    locked: u32,
    signed_in_again: bool,
    /// Of the last reply.
    status: Option<StatusCode>,
}

impl Effort {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let start = Instant::now();
        Self { endpoint, start, attempts: 0, passing: 0, locked: 0, signed_in_again: false, status: None }
    }

    /// The pause before a repeat, where one is allowed.
    fn pause(&mut self, fault: &Fault, timeouts: &Timeouts, jitter: &Jitter) -> Option<Duration> {
        if !fault.may_repeat() {
            return None;
        }
        match fault.again {
            Again::Never => None,
            Again::Opened => Some(Duration::ZERO),
            Again::SignedIn => {
                (!std::mem::replace(&mut self.signed_in_again, true)).then_some(Duration::ZERO)
            }
            Again::Soon => {
                self.passing += 1;
                let pause = doubled(timeouts.read_pause, self.passing).mul_f64(0.5 + spread(jitter));
                (self.passing < TRIES).then_some(pause)
            }
            Again::Later => {
                self.locked += 1;
                let (least, most) = timeouts.lock_pause;
                let pause = doubled(least, self.locked).min(most).mul_f64(0.75 + spread(jitter) / 2.0);
                Some(pause.clamp(least, most.max(least)))
            }
        }
    }

    /// Tells a span what the call cost and how it ended.
    pub(super) fn tell(&self, span: &Span, error: Option<&Error>) {
        span.count("zia_mcp.attempts", self.attempts.into());
        self.status.iter().for_each(|status| span.count("http.response.status_code", status.as_u16().into()));
        error.iter().for_each(|error| span.failed(error.kind.word()));
    }

    pub(super) fn error(&self, fault: Fault) -> Error {
        Error {
            kind: fault.kind,
            endpoint: self.endpoint.name(),
            code: fault.code,
            attempts: self.attempts,
            elapsed: self.start.elapsed(),
            request_id: fault.request_id,
            landed: fault.landed,
            phase: fault.phase,
        }
    }
}

/// `first`, `2 × first`, `4 × first` …
fn doubled(first: Duration, nth: u32) -> Duration {
    first.saturating_mul(1 << nth.saturating_sub(1).min(16))
}

fn spread(jitter: &Jitter) -> f64 {
    let number = jitter();
    if number.is_finite() { number.clamp(0.0, 1.0) } else { 0.5 }
}
