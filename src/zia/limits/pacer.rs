//! Pacing in this process: no window of a limit is ever exceeded.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{BudgetLine, Limits};
use crate::{
    model::{Lessons, ON_ITS_WAY, Per, Purpose, Terms, Window},
    zia::endpoints::Endpoint,
};

/// Added to every window: requests that leave apart may arrive closer together.
pub(in crate::zia) const MARGIN: Duration = Duration::from_millis(50);

/// How long what the account said keeps newcomers from asking it again.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Whether a process counts with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::zia) enum Sight {
    /// There is an account, or nobody else.
    Clear,
    /// The account cannot be reached: a quarter of each limit, at least one, so that four such
    /// processes keep the limits in sum.
    Blind,
}

impl Sight {
    fn windows(self, terms: &Terms, lessons: &Lessons) -> Vec<Window> {
        let mut windows = terms.windows(lessons);
        if self == Self::Blind {
            windows.iter_mut().for_each(|w| w.limit = (w.limit / 4).max(1));
        }
        windows
    }
}

/// Lets requests leave, endpoint by endpoint, first come first served.
pub(in crate::zia) struct Pacer {
    lanes: Vec<Lane>,
}

/// The way out to one endpoint.
#[derive(Debug)]
pub(in crate::zia) struct Lane {
    endpoint: Endpoint,
    terms: Terms,
    /// Held by those who leave next, one for each purpose: reading does not queue up in front of
    /// finishing. The queues behind them are fair.
    turns: [tokio::sync::Mutex<()>; 3],
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
        self.answered.unwrap_or(now.min(self.at + Duration::from_micros(ON_ITS_WAY.unsigned_abs())))
    }
}

/// A request under way; dropped when its answer came.
#[derive(Debug)]
pub(in crate::zia) struct Departing<'a> {
    lane: &'a Lane,
    number: u64,
}

impl Drop for Departing<'_> {
    fn drop(&mut self) {
        let mut log = self.lane.log();
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
    /// What 429s taught.
    lessons: Lessons,
    /// Those who are waiting to leave, by purpose.
    waiting: [usize; 3],
    /// Until when the account lets nothing leave, by purpose, and when it said so.
    held: [Option<(Instant, Instant)>; 3],
}

impl Pacer {
    pub(in crate::zia) fn new(limits: &Limits) -> Self {
        let lane = |endpoint| Lane {
            endpoint,
            terms: limits.terms(endpoint),
            turns: Default::default(),
            log: Mutex::default(),
        };
        Self { lanes: Endpoint::ALL.into_iter().map(lane).collect() }
    }

    pub(in crate::zia) fn lane(&self, endpoint: Endpoint) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.endpoint == endpoint)
    }

    /// What is left of every limit, as this process alone counts it.
    pub(in crate::zia) fn budget(&self, time: impl Fn(Instant) -> Timestamp) -> Vec<BudgetLine> {
        let now = Instant::now();
        let lines = |lane: &Lane| {
            let log = lane.log();
            let windows = lane.terms.windows(&log.lessons);
            windows.into_iter().map(|w| log.line(lane.endpoint, w, now, &time)).collect::<Vec<_>>()
        };
        self.lanes.iter().flat_map(lines).collect()
    }

    /// The limits of every endpoint that has any.
    pub(in crate::zia) fn terms(&self) -> Vec<Terms> {
        self.lanes.iter().map(|lane| lane.terms.clone()).filter(|terms| !terms.windows.is_empty()).collect()
    }
}

fn place(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Read => 0,
        Purpose::Finish => 1,
        Purpose::Background => 2,
    }
}

fn length(per: Per) -> Duration {
    Duration::from_micros(per.micros().unsigned_abs())
}

impl Lane {
    pub(in crate::zia) fn terms(&self) -> &Terms {
        &self.terms
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // The log is consistent after every statement, so a panic elsewhere does not spoil it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues up with those of the same purpose, unless the turn would come too late.
    pub(in crate::zia) fn join(&self, purpose: Purpose, until: Instant) -> Result<Place<'_>, Instant> {
        let mut log = self.log();
        let at = log.forecast(&self.terms, purpose, Instant::now());
        if at > until {
            return Err(at);
        }
        if let Some(waiting) = log.waiting.get_mut(place(purpose)) {
            *waiting += 1;
        }
        Ok(Place(self, purpose))
    }

    /// When a newcomer could leave.
    pub(in crate::zia) fn forecast(&self, purpose: Purpose) -> Instant {
        self.log().forecast(&self.terms, purpose, Instant::now())
    }

    /// Waits to be the next of those with the same purpose.
    pub(in crate::zia) async fn turn(
        &self,
        purpose: Purpose,
        until: Instant,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, Instant> {
        let [read, finish, background] = &self.turns;
        let turn = match purpose {
            Purpose::Read => read,
            Purpose::Finish => finish,
            Purpose::Background => background,
        };
        timeout_at(until, turn.lock()).await.map_err(|_| self.forecast(purpose))
    }

    /// When this process may let the next request leave.
    pub(in crate::zia) fn earliest(&self, sight: Sight) -> Instant {
        let log = self.log();
        log.earliest(&sight.windows(&self.terms, &log.lessons), Instant::now())
    }

    /// Lets a request leave, if this process may.
    pub(in crate::zia) fn try_depart(&self, sight: Sight) -> Result<Departing<'_>, Instant> {
        let mut log = self.log();
        let windows = sight.windows(&self.terms, &log.lessons);
        let now = Instant::now();
        let at = log.earliest(&windows, now);
        if at > now {
            return Err(at);
        }
        Ok(Departing { lane: self, number: log.depart(&self.terms, now) })
    }

    /// Notes a request that leaves since the account lets it.
    pub(in crate::zia) fn depart(&self, purpose: Purpose) -> Departing<'_> {
        let mut log = self.log();
        log.held.get_mut(place(purpose)).into_iter().for_each(|held| *held = None);
        Departing { lane: self, number: log.depart(&self.terms, Instant::now()) }
    }

    /// Notes that the account lets nothing leave for a purpose before a time.
    pub(in crate::zia) fn hold(&self, purpose: Purpose, until: Instant) {
        let said = Some((until, Instant::now()));
        self.log().held.get_mut(place(purpose)).into_iter().for_each(|held| *held = said);
    }

    /// Lets nothing leave for a while, as a 429 asked, and learns the limit it told.
    pub(in crate::zia) fn close(&self, wait: Duration, lesson: Option<Window>) {
        let until = Instant::now() + wait;
        let mut log = self.log();
        log.closed_until = log.closed_until.max(Some(until));
        lesson.into_iter().for_each(|lesson| log.lessons.learn(lesson));
    }
}

/// A place in a lane's queue, given up on drop.
#[derive(Debug)]
pub(in crate::zia) struct Place<'a>(&'a Lane, Purpose);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut log = self.0.log();
        if let Some(waiting) = log.waiting.get_mut(place(self.1)) {
            *waiting = waiting.saturating_sub(1);
        }
    }
}

/// When the next request may leave, given when the earlier ones were counted, in order.
fn opening(windows: &[Window], counted: &[Instant], closed: Option<Instant>, now: Instant) -> Instant {
    let full = windows.iter().filter_map(|w| {
        let nth_last = counted.len().checked_sub(w.limit as usize)?;
        Some(*counted.get(nth_last)? + length(w.per) + MARGIN)
    });
    full.chain(closed).fold(now, Instant::max)
}

impl Log {
    /// When the next request may leave.
    fn earliest(&self, windows: &[Window], now: Instant) -> Instant {
        opening(windows, &self.counted(now), self.closed_until, now)
    }

    /// When ZIA may have counted each departure at the latest, in order.
    fn counted(&self, now: Instant) -> Vec<Instant> {
        let mut counted: Vec<_> = self.left.iter().map(|left| left.counted(now)).collect();
        counted.sort_unstable();
        counted
    }

    fn depart(&mut self, terms: &Terms, at: Instant) -> u64 {
        self.departures += 1;
        self.left.push_back(Left { at, answered: None, number: self.departures });
        let most = terms.windows.iter().map(|w| w.limit as usize).max().unwrap_or(0);
        while self.left.len() > most {
            self.left.pop_front();
        }
        self.departures
    }

    /// When a newcomer could leave, behind all who wait for the same.
    fn forecast(&self, terms: &Terms, purpose: Purpose, now: Instant) -> Instant {
        let held = self.held.get(place(purpose)).copied().flatten();
        let held = held.filter(|(_, said)| now < *said + REMEMBERED).map(|(until, _)| until);
        let waiting = self.waiting.get(place(purpose)).copied().unwrap_or_default();
        let windows = terms.windows(&self.lessons);
        if windows.is_empty() || waiting == 0 {
            return self.earliest(&windows, now).max(held.unwrap_or(now));
        }
        let (mut imagined, closed) = (self.counted(now), self.closed_until.max(held));
        for _ in 0..waiting {
            // Never before the one in front, so that they stay in order.
            imagined.push(opening(&windows, &imagined, closed, now));
        }
        opening(&windows, &imagined, closed, now)
    }

    fn line(
        &self,
        endpoint: Endpoint,
        window: Window,
        now: Instant,
        time: impl Fn(Instant) -> Timestamp,
    ) -> BudgetLine {
        let ends = self.left.iter().map(|left| left.counted(now) + length(window.per) + MARGIN);
        let ends = ends.filter(|ends| *ends > now);
        let used = u32::try_from(ends.clone().count()).unwrap_or(window.limit);
        let closed = self.closed_until.filter(|until| *until > now);
        let resets = closed.max(ends.min()).unwrap_or(now);
        BudgetLine {
            endpoint: endpoint.name(),
            per: window.per.as_str(),
            limit: window.limit,
            remaining: if closed.is_some() { 0 } else { window.limit.saturating_sub(used) },
            resets_at: time(resets),
        }
    }
}
