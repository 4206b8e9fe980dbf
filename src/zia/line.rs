//! One request at a time: paced, sent, and closed after a 429.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    fault::Fault,
    limits::Pacer,
    outcome, retry_after,
    send::{Prepared, Reply, Wire},
};
use crate::{
    model::{Clock, SendPermit},
    telemetry::meter,
};

/// The way to ZIA: limits first, then the wire.
pub(super) struct Line {
    pub(super) wire: Wire,
    pub(super) pacer: Pacer,
    pub(super) clock: Clock,
}

impl Line {
    /// Waits for the endpoint's turn, within the caller's time, and makes the exchange.
    ///
    /// A write that left is waited for even after `until`; one whose permit ran out meanwhile does
    /// not leave (guardrails F32). A 429 closes the endpoint.
    pub(super) async fn exchange(
        &self,
        prepared: Prepared,
        permit: Option<&dyn SendPermit>,
        until: Instant,
    ) -> Result<Reply, Fault> {
        let endpoint = prepared.endpoint;
        if Instant::now() >= until {
            return Err(Fault::late());
        }
        let waiting = meter::zia_waiting(endpoint.name());
        let _until_answered =
            self.pacer.admit(endpoint, until).await.map_err(|at| Fault::paced(self.time(at)))?;
        drop(waiting);
        if permit.is_some_and(|permit| !permit.holds_for(self.wire.longest())) {
            return Err(Fault::late());
        }
        let cut = (!endpoint.is_write()).then_some(until);
        let sent = meter::zia_request(endpoint.name());
        let reply = self.wire.exchange(prepared, cut).await;
        sent.ended(outcome::word(&reply));
        let reply = reply?;
        if reply.status != StatusCode::TOO_MANY_REQUESTS {
            return Ok(reply);
        }
        let wait = retry_after::wait(&reply.headers, &reply.body, self.clock.now());
        self.pacer.close(endpoint, wait);
        tracing::warn!(zia.endpoint = endpoint.name(), zia.wait_s = wait.as_secs(), "ZIA asked to wait");
        Err(Fault::rate_limited(self.time(Instant::now() + wait), reply.request_id()))
    }

    /// The time of day of an instant.
    pub(super) fn time(&self, at: Instant) -> Timestamp {
        let ahead = SignedDuration::try_from(at.saturating_duration_since(Instant::now()));
        self.clock.now().saturating_add(ahead.unwrap_or_default()).unwrap_or(Timestamp::MAX)
    }
}
