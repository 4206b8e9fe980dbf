//! One request at a time: paced, sent, and closed after a 429.

use http::StatusCode;
use tokio::time::Instant;

use super::{
    Deadline,
    fault::Fault,
    outcome, retry_after,
    send::{Prepared, Reply, Wire},
    turnstile::{Held, Turnstile},
};
use crate::{
    model::{Clock, SendPermit},
    telemetry::meter,
};

/// The way to ZIA: limits first, then the wire.
pub(super) struct Line {
    pub(super) wire: Wire,
    pub(super) turnstile: Turnstile,
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
        until: Deadline,
    ) -> Result<Reply, Fault> {
        let endpoint = prepared.endpoint;
        if Instant::now() >= until.at {
            return Err(Fault::late());
        }
        let waiting = meter::zia_waiting(endpoint.name());
        let departure = self.turnstile.admit(endpoint, until).await.map_err(|held| match held {
            Held::Until(at) => Fault::paced(self.turnstile.time(at)),
            Held::Unaccounted => Fault::unaccounted(),
        })?;
        drop(waiting);
        if permit.is_some_and(|permit| !permit.holds_for(self.wire.longest())) {
            return Err(Fault::late());
        }
        let cut = (!endpoint.is_write()).then_some(until.at);
        let sent = meter::zia_request(endpoint.name());
        let reply = self.wire.exchange(prepared, cut).await;
        sent.ended(outcome::word(&reply));
        departure.answered().await;
        let reply = reply?;
        if reply.status != StatusCode::TOO_MANY_REQUESTS {
            return Ok(reply);
        }
        let wait = retry_after::wait(&reply.headers, &reply.body, self.clock.now());
        self.turnstile.refused(endpoint, wait, retry_after::lesson(&reply.body)).await;
        tracing::warn!(zia.endpoint = endpoint.name(), zia.wait_s = wait.as_secs(), "ZIA asked to wait");
        Err(Fault::rate_limited(self.turnstile.time(Instant::now() + wait), reply.request_id()))
    }
}
