//! Pacing: no window of a documented limit is ever exceeded.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::endpoints::Endpoint;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Added to every window: requests that leave apart may arrive closer together.
const MARGIN: Duration = Duration::from_millis(50);

/// How long a request may be on its way to ZIA; one without an answer for longer has arrived, or never will.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// So many requests in so much time.
type Window = (u32, Duration);

/// The documented windows of an endpoint (zia-facts §5).
fn windows(endpoint: Endpoint) -> &'static [Window] {
    match endpoint {
        Endpoint::ListUsers => &[(1, SECOND), (10, MINUTE), (40, HOUR)],
        Endpoint::DeleteUser | Endpoint::ListGroups => &[(1, SECOND), (400, HOUR)],
        Endpoint::DeleteUsers => &[(1, MINUTE), (4, HOUR)],
        Endpoint::Activate => &[(10, MINUTE), (40, HOUR)],
        // The token endpoint counts by the thousand; single flight stays far below (zia-facts §2).
        Endpoint::Token => &[],
        Endpoint::ReadUser
        | Endpoint::CreateUser
        | Endpoint::ReplaceUser
        | Endpoint::ListDepartments
        | Endpoint::Status
        | Endpoint::Eusa
        | Endpoint::SignIn
        | Endpoint::SignOut => &[(2, SECOND), (1000, HOUR)],
    }
}

/// Which limits the client keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    paced: bool,
}

impl Limits {
    /// The vendor's documented limits per endpoint (zia-facts §5).
    pub fn documented() -> Self {
        Self { paced: true }
    }

    /// No pacing, for tests and benchmarks; a 429 is honoured all the same.
    pub fn unpaced() -> Self {
        Self { paced: false }
    }
}

/// What is left of one documented limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetLine {
    /// Method and path template, such as `GET /users`.
    pub endpoint: &'static str,
    /// `second`, `minute` or `hour`.
    pub per: &'static str,
    /// Requests per window.
    pub limit: u32,
    /// Requests left in the window that ends now.
    pub remaining: u32,
    /// When one more becomes free; now, if none is in use.
    pub resets_at: Timestamp,
}

/// Lets requests leave, endpoint by endpoint, first come first served.
pub(super) struct Pacer {
    lanes: [Lane; Endpoint::ALL.len()],
}

#[derive(Debug)]
struct Lane {
    endpoint: Endpoint,
    windows: &'static [Window],
    /// Held by the one that waits to leave next; the queue behind it is fair.
    turn: tokio::sync::Mutex<()>,
    /// A plain lock: no await happens under it.
    log: Mutex<Log>,
}

/// A request that left.
#[derive(Debug)]
struct Left {
    at: Instant,
    /// When its answer came, before which ZIA has counted it.
    answered: Option<Instant>,
    number: u64,
}

impl Left {
    /// The latest time at which ZIA may have counted it.
    ///
    /// A request is counted when it arrives, and on a busy machine or line that is not when it left.
    fn counted(&self, now: Instant) -> Instant {
        self.answered.unwrap_or(now.min(self.at + ON_ITS_WAY))
    }
}

/// A request under way; dropped when its answer came.
#[derive(Debug)]
pub(super) struct Departure<'a> {
    lane: Option<&'a Lane>,
    number: u64,
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        let Some(lane) = self.lane else { return };
        let mut log = lane.log();
        if let Some(left) = log.left.iter_mut().find(|left| left.number == self.number) {
            left.answered = Some(Instant::now());
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    /// Departures, oldest first, no more than the widest window counts.
    left: VecDeque<Left>,
    /// Departures there ever were.
    departures: u64,
    /// After a 429: nothing leaves before.
    closed_until: Option<Instant>,
    /// Those who are waiting to leave.
    waiting: usize,
}

impl Pacer {
    pub(super) fn new(limits: Limits) -> Self {
        Self { lanes: Endpoint::ALL.map(|endpoint| Lane::new(endpoint, limits)) }
    }

    fn lane(&self, endpoint: Endpoint) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.endpoint == endpoint)
    }

    /// Waits until a request may leave, and counts it as leaving; drop what is given when its answer came.
    ///
    /// Answers at once, with the time it would have been, when that is later than `until`.
    pub(super) async fn admit(&self, endpoint: Endpoint, until: Instant) -> Result<Departure<'_>, Instant> {
        let Some(lane) = self.lane(endpoint) else { return Ok(Departure { lane: None, number: 0 }) };
        let _place = lane.join(until)?;
        let _turn = timeout_at(until, lane.turn.lock()).await.map_err(|_| lane.forecast())?;
        loop {
            match lane.depart() {
                Ok(number) => return Ok(Departure { lane: Some(lane), number }),
                Err(at) if at > until => return Err(at),
                Err(at) => sleep_until(at).await,
            }
        }
    }

    /// Lets nothing leave to an endpoint for a while, as a 429 asked.
    pub(super) fn close(&self, endpoint: Endpoint, wait: Duration) {
        let Some(lane) = self.lane(endpoint) else { return };
        let until = Instant::now() + wait;
        let mut log = lane.log();
        log.closed_until = log.closed_until.max(Some(until));
    }

    /// What is left of every limit; `time` tells the time of day of an instant.
    pub(super) fn budget(&self, time: impl Fn(Instant) -> Timestamp) -> Vec<BudgetLine> {
        let now = Instant::now();
        let lines = |lane: &Lane| {
            let log = lane.log();
            lane.windows.iter().map(|w| log.line(lane.endpoint, *w, now, &time)).collect::<Vec<_>>()
        };
        self.lanes.iter().flat_map(lines).collect()
    }
}

impl Lane {
    fn new(endpoint: Endpoint, limits: Limits) -> Self {
        let windows = if limits.paced { windows(endpoint) } else { &[] };
        Self { endpoint, windows, turn: tokio::sync::Mutex::default(), log: Mutex::default() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // The log is consistent after every statement, so a panic elsewhere does not spoil it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues up, unless the turn would come too late.
    fn join(&self, until: Instant) -> Result<Place<'_>, Instant> {
        let mut log = self.log();
        let at = log.forecast(self.windows, Instant::now());
        if at > until {
            return Err(at);
        }
        log.waiting += 1;
        Ok(Place(self))
    }

    fn forecast(&self) -> Instant {
        self.log().forecast(self.windows, Instant::now())
    }

    fn depart(&self) -> Result<u64, Instant> {
        let mut log = self.log();
        let now = Instant::now();
        let at = log.earliest(self.windows, now);
        if at > now {
            return Err(at);
        }
        log.depart(self.windows, now);
        Ok(log.departures)
    }
}

/// A place in a lane's queue, given up on drop.
struct Place<'a>(&'a Lane);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut log = self.0.log();
        log.waiting = log.waiting.saturating_sub(1);
    }
}

impl Log {
    /// When the next request may leave.
    fn earliest(&self, windows: &[Window], now: Instant) -> Instant {
        let mut counted: Vec<_> = self.left.iter().map(|left| left.counted(now)).collect();
        counted.sort_unstable();
        let full = windows.iter().filter_map(|(count, per)| {
            let nth_last = counted.len().checked_sub(*count as usize)?;
            Some(*counted.get(nth_last)? + *per + MARGIN)
        });
        full.chain(self.closed_until).fold(now, Instant::max)
    }

    fn depart(&mut self, windows: &[Window], at: Instant) {
        self.departures += 1;
        self.left.push_back(Left { at, answered: None, number: self.departures });
        let most = windows.iter().map(|(count, _)| *count as usize).max().unwrap_or(0);
        while self.left.len() > most {
            self.left.pop_front();
        }
    }

    /// When a newcomer could leave, behind all who wait.
    fn forecast(&self, windows: &[Window], now: Instant) -> Instant {
        if windows.is_empty() || self.waiting == 0 {
            return self.earliest(windows, now);
        }
        let answered = |at| Left { at, answered: Some(at), number: 0 };
        let left = self.left.iter().map(|left| answered(left.counted(now))).collect();
        let mut imagined = Self { left, closed_until: self.closed_until, ..Self::default() };
        for _ in 0..self.waiting {
            let at = imagined.earliest(windows, now);
            imagined.depart(windows, at);
            imagined.left.back_mut().into_iter().for_each(|left| left.answered = Some(at));
        }
        imagined.earliest(windows, now)
    }

    fn line(
        &self,
        endpoint: Endpoint,
        (limit, per): Window,
        now: Instant,
        time: impl Fn(Instant) -> Timestamp,
    ) -> BudgetLine {
        let ends = self.left.iter().map(|left| left.counted(now) + per + MARGIN).filter(|ends| *ends > now);
        let used = u32::try_from(ends.clone().count()).unwrap_or(limit);
        let closed = self.closed_until.filter(|until| *until > now);
        let resets = closed.max(ends.min()).unwrap_or(now);
        BudgetLine {
            endpoint: endpoint.name(),
            per: if per == SECOND {
                "second"
            } else if per == MINUTE {
                "minute"
            } else {
                "hour"
            },
            limit,
            remaining: if closed.is_some() { 0 } else { limit.saturating_sub(used) },
            resets_at: time(resets),
        }
    }
}

#[cfg(test)]
mod tests;
