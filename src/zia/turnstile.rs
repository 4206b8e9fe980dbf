//! Where requests wait for their turn: first in this process, then on the shared account.

use std::{fmt, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::{
    BudgetLine, Deadline,
    endpoints::Endpoint,
    fault::Fault,
    limits::{Departing, Lane, Limits, Pacer, Sight},
};
use crate::model::{Ask, CallAccount, Clock, Granted, Purpose, Ticket, Window};

/// The account is asked again after so long, whatever it said: the day's clock may have been set.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Lets requests leave in their turn: no window of a limit is exceeded, in sum over all who share the
/// account.
///
/// Without an account only this process is counted.
pub struct Turnstile {
    pacer: Pacer,
    account: Option<Arc<dyn CallAccount>>,
    tenant: String,
    clock: Clock,
}

/// How long a caller waits for the account to be told of an answer.
const TELL: Duration = Duration::from_millis(5);

/// A request under way.
pub struct Departure<'a> {
    here: Option<Departing<'a>>,
    counted: Option<(Arc<dyn CallAccount>, Ticket)>,
}

impl Departure<'_> {
    /// The answer came, which the account is told.
    ///
    /// That is waited for, but not for long: what the caller stores next would only get in its way, and
    /// untold it counts as under way for two seconds.
    pub async fn answered(mut self) {
        drop(self.here.take());
        if let Some(told) = self.tell() {
            let _ = tokio::time::timeout(TELL, told).await;
        }
    }

    fn tell(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        let (account, ticket) = self.counted.take()?;
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        Some(runtime.spawn(async move { account.answered(ticket).await }))
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        // Nobody waits for it any more, but its answer may have come.
        drop(self.tell());
    }
}

/// Why a request does not leave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// A limit is used up until then, later than the caller can wait.
    Until(Instant),
    /// It cannot be counted.
    Unaccounted,
}

impl From<Instant> for Held {
    fn from(at: Instant) -> Self {
        Self::Until(at)
    }
}

impl Turnstile {
    /// A turnstile for one tenant.
    pub fn new(
        limits: &Limits,
        tenant: impl Into<String>,
        account: Option<Arc<dyn CallAccount>>,
        clock: Clock,
    ) -> Self {
        Self { pacer: Pacer::new(limits), account, tenant: tenant.into(), clock }
    }

    /// Waits for the turn of a request to an endpoint, by method and path template.
    ///
    /// Tell what is given when the answer came. An endpoint that is not known has no limits.
    ///
    /// # Errors
    /// When it would be, where that is later than the caller can wait, or where it cannot be counted.
    pub async fn pass(&self, endpoint: &str, until: Deadline) -> Result<Departure<'_>, Timestamp> {
        let Some(endpoint) = Endpoint::ALL.into_iter().find(|e| e.name() == endpoint) else {
            return Ok(Departure { here: None, counted: None });
        };
        self.admit(endpoint, until).await.map_err(|held| match held {
            Held::Until(at) => self.time(at),
            Held::Unaccounted => self.clock.now(),
        })
    }

    /// Waits until a request may leave, and counts it as leaving.
    ///
    /// Answers at once, with the time it would have been, when that is later than `until`.
    pub(super) async fn admit(&self, endpoint: Endpoint, until: Deadline) -> Result<Departure<'_>, Held> {
        let Some(lane) = self.pacer.lane(endpoint) else {
            return Ok(Departure { here: None, counted: None });
        };
        let _place = lane.join(until.purpose, until.at)?;
        let _turn = lane.turn(until.purpose, until.at).await?;
        loop {
            let at = match self.try_admit(endpoint, lane, until).await? {
                Ok(departure) => return Ok(departure),
                Err(at) => at,
            };
            if at > until.at {
                return Err(Held::Until(at));
            }
            sleep_until(at.min(Instant::now() + ASK_AGAIN)).await;
        }
    }

    /// Lets a request leave, or says when to ask again.
    async fn try_admit<'a>(
        &'a self,
        endpoint: Endpoint,
        lane: &'a Lane,
        until: Deadline,
    ) -> Result<Result<Departure<'a>, Instant>, Held> {
        let alone = |departing| Departure { here: Some(departing), counted: None };
        let Some(account) = &self.account else { return Ok(lane.try_depart(Sight::Clear).map(alone)) };
        let here = lane.earliest(Sight::Clear);
        if here > Instant::now() {
            return Ok(Err(here));
        }
        let ask = Ask { tenant: &self.tenant, terms: lane.terms(), purpose: until.purpose };
        match account.take(ask).await {
            Ok(Granted::Leave(ticket)) => {
                let (here, counted) = (lane.depart(until.purpose), (account.clone(), ticket));
                Ok(Ok(Departure { here: Some(here), counted: Some(counted) }))
            }
            Ok(Granted::NotBefore(time)) => {
                let at = self.instant(time);
                lane.hold(until.purpose, at);
                Ok(Err(at))
            }
            // Reading goes on where the store of this machine is broken (guardrails F3, F4), on a part of
            // the limits. Where the others are on other machines, they may be well and counting.
            Err(unaccounted) if !unaccounted.elsewhere && !endpoint.edits() => {
                Ok(lane.try_depart(Sight::Blind).map(alone))
            }
            Err(unaccounted) => {
                tracing::warn!(
                    zia.endpoint = endpoint.name(),
                    reason = unaccounted.reason,
                    "a call cannot be counted, so it is not sent"
                );
                Err(Held::Unaccounted)
            }
        }
    }

    /// Lets nothing leave to an endpoint for a while, as a 429 asked, and learns the limit it told.
    pub(super) async fn refused(&self, endpoint: Endpoint, wait: Duration, lesson: Option<Window>) {
        let Some(lane) = self.pacer.lane(endpoint) else { return };
        lane.close(wait, lesson);
        let Some(account) = &self.account else { return };
        let until = self.time(Instant::now() + wait);
        if let Err(error) = account.refused(&self.tenant, lane.terms(), until, lesson).await {
            tracing::warn!(
                zia.endpoint = endpoint.name(),
                reason = error.reason,
                "other processes could not be told of a 429"
            );
        }
    }

    /// When requests could leave, one to each endpoint, as things are.
    pub(super) async fn next(&self, endpoints: &[Endpoint], purpose: Purpose) -> Result<Timestamp, Fault> {
        let lanes: Vec<_> = endpoints.iter().filter_map(|endpoint| self.pacer.lane(*endpoint)).collect();
        let here = lanes.iter().map(|lane| lane.forecast(purpose)).max();
        let here = here.map_or_else(|| self.clock.now(), |at| self.time(at));
        let Some(account) = &self.account else { return Ok(here) };
        let tenant = self.tenant.as_str();
        let asks: Vec<_> = lanes.iter().map(|lane| Ask { tenant, terms: lane.terms(), purpose }).collect();
        let there = account.next(&asks).await.map_err(|_| Fault::unaccounted())?;
        Ok(here.max(there))
    }

    /// What is left of every limit, or of those of one endpoint.
    pub(super) async fn budget(&self, only: Option<Endpoint>) -> Vec<BudgetLine> {
        let is_asked = |name: &str| only.is_none_or(|only| only.name() == name);
        if let Some(account) = &self.account {
            let mut terms = self.pacer.terms();
            terms.retain(|terms| is_asked(terms.endpoint));
            match account.left(&self.tenant, &terms).await {
                Ok(left) => return left.into_iter().map(BudgetLine::from).collect(),
                Err(error) => tracing::debug!(reason = error.reason, "only this process's calls are told"),
            }
        }
        let mut lines = self.pacer.budget(|at| self.time(at));
        lines.retain(|line| is_asked(line.endpoint));
        lines
    }

    /// The time of day of an instant.
    pub(super) fn time(&self, at: Instant) -> Timestamp {
        let ahead = SignedDuration::try_from(at.saturating_duration_since(Instant::now()));
        self.clock.now().saturating_add(ahead.unwrap_or_default()).unwrap_or(Timestamp::MAX)
    }

    /// The instant of a time of day to come.
    fn instant(&self, time: Timestamp) -> Instant {
        let ahead = time.duration_since(self.clock.now());
        Instant::now() + Duration::try_from(ahead).unwrap_or_default()
    }
}

impl fmt::Debug for Turnstile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turnstile").field("account", &self.account).finish_non_exhaustive()
    }
}

impl fmt::Debug for Departure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departure")
    }
}

#[cfg(test)]
mod tests;
