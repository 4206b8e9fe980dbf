//! The call budget of a tenant: which requests may leave, by what left before. No I/O.
//!
//! One arithmetic for everybody who counts: the store's account, and the accounts of benchmarks.

use std::fmt;

use futures::future::BoxFuture;
use jiff::Timestamp;

/// Added to every window, in microseconds: clocks of the vendor and ours tick apart.
const MARGIN: i64 = 50_000;

/// How long a request may be on its way, in microseconds.
///
/// One without an answer for longer has arrived, or never will.
pub const ON_ITS_WAY: i64 = 2_000_000;

/// The longest that a 429 can close an endpoint, in microseconds: no window is longer.
pub const LONGEST_CLOSURE: i64 = 3_600_000_000;

/// The length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Per {
    /// One second.
    Second,
    /// One minute.
    Minute,
    /// One hour.
    Hour,
}

impl Per {
    /// Every length, shortest first.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// As settings and answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// Its length in microseconds.
    pub fn micros(self) -> i64 {
        match self {
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Requests per window.
    pub limit: u32,
    /// Its length.
    pub per: Per,
}

/// What a call is made for: who comes first where calls are scarce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody wants to know something.
    #[default]
    Read,
    /// A write that was begun is checked, sent, verified or activated.
    Finish,
    /// Nobody waits for it: filling and sweeping the index.
    Background,
}

/// The limits of one endpoint, as documented or configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Method and path template, such as `GET /users`.
    pub endpoint: &'static str,
    /// Its windows, no two of one length.
    pub windows: Vec<Window>,
    /// What the operator configured, in one text; empty where the vendor's documents count.
    ///
    /// A lesson holds for the configuration under which it was learned: another one is the operator's
    /// word that it is over.
    pub configured: String,
    /// Whether a part of each hour is kept for finishing what was begun.
    pub reserved: bool,
    /// The part of each hour that background calls may use, in per cent.
    pub background: u32,
}

/// Limits that 429s taught, lower than the terms; `None` where none did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lessons {
    /// Per second.
    pub second: Option<u32>,
    /// Per minute.
    pub minute: Option<u32>,
    /// Per hour.
    pub hour: Option<u32>,
}

impl Lessons {
    /// What was learned of one window.
    pub fn of(&self, per: Per) -> Option<u32> {
        match per {
            Per::Second => self.second,
            Per::Minute => self.minute,
            Per::Hour => self.hour,
        }
    }

    /// Takes one in; downward only.
    pub fn learn(&mut self, lesson: Window) {
        let known = match lesson.per {
            Per::Second => &mut self.second,
            Per::Minute => &mut self.minute,
            Per::Hour => &mut self.hour,
        };
        let limit = lesson.limit.max(1);
        *known = Some(known.map_or(limit, |known| known.min(limit)));
    }
}

/// A limit as it holds for one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Requests per window.
    pub limit: u32,
    /// Its length.
    pub per: Per,
    /// Whether only background calls count.
    pub background_only: bool,
}

impl Cap {
    /// How long a request counts against it, in microseconds.
    pub fn wait(&self) -> i64 {
        self.per.micros() + MARGIN
    }
}

impl Terms {
    /// The windows in force: the terms, lowered by what was learned.
    ///
    /// A lesson about a window that the terms do not know adds it; without any there is no pacing.
    pub fn windows(&self, lessons: &Lessons) -> Vec<Window> {
        if self.windows.is_empty() {
            return Vec::new();
        }
        let told = |per| self.windows.iter().find(|w| w.per == per).map(|w| w.limit);
        let both = |per: Per| {
            let limit = [told(per), lessons.of(per)].into_iter().flatten().min()?;
            Some(Window { limit, per })
        };
        Per::ALL.into_iter().filter_map(both).collect()
    }

    /// The limits that hold for a purpose.
    pub fn caps(&self, purpose: Purpose, lessons: &Lessons) -> Vec<Cap> {
        let windows = self.windows(lessons);
        let kept = |w: &Window| if self.reserved && w.per == Per::Hour { reserve(w.limit) } else { 0 };
        let cap = |limit, per, background_only| Cap { limit, per, background_only };
        let mut caps: Vec<_> = windows
            .iter()
            .map(|w| match purpose {
                Purpose::Finish => cap(w.limit, w.per, false),
                Purpose::Read | Purpose::Background => cap(w.limit - kept(w), w.per, false),
            })
            .collect();
        let hour = windows.iter().find(|w| w.per == Per::Hour);
        if let (Purpose::Background, Some(hour)) = (purpose, hour) {
            let share = u64::from(hour.limit) * u64::from(self.background) / 100;
            caps.push(cap(u32::try_from(share).unwrap_or(hour.limit).max(1), Per::Hour, true));
        }
        caps
    }
}

/// The part of an hour's calls that is kept for finishing: a fifth, rounded up.
///
/// An hour of fewer than four calls is too small to be divided.
pub fn reserve(limit: u32) -> u32 {
    if limit < 4 { 0 } else { limit.div_ceil(5) }
}

/// When a request may leave; now, if it may leave now. All times are microseconds of the day's clock.
///
/// `nth_last` gives, for each cap in turn, when its `limit`-th last request may have been counted at
/// the latest. One that is still on its way counts as late as now.
pub fn opens(caps: &[Cap], nth_last: &[Option<i64>], closed_until: Option<i64>, now: i64) -> i64 {
    let full = caps.iter().zip(nth_last).filter_map(|(cap, last)| Some((*last)?.min(now) + cap.wait()));
    full.chain(closed_until).fold(now, i64::max)
}

/// What is left of a window, and when one more becomes free, given when each request counts.
pub fn remaining(window: Window, counted: &[i64], closed_until: Option<i64>, now: i64) -> (u32, i64) {
    let ends = counted.iter().map(|at| (*at).min(now) + window.per.micros() + MARGIN);
    let ends: Vec<i64> = ends.filter(|ends| *ends > now).collect();
    let closed = closed_until.filter(|until| *until > now);
    let used = u32::try_from(ends.len()).unwrap_or(u32::MAX);
    let left = if closed.is_some() { 0 } else { window.limit.saturating_sub(used) };
    (left, closed.max(ends.into_iter().min()).unwrap_or(now))
}

/// A request that asks to leave.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whose budget it is.
    pub tenant: &'a str,
    /// The limits of its endpoint.
    pub terms: &'a Terms,
    /// What it is for.
    pub purpose: Purpose,
}

/// A departure on the account, to be told when its answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(pub i64);

/// What an account says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is counted and may leave.
    Leave(Ticket),
    /// It is not counted, and need not ask again before this time.
    NotBefore(Timestamp),
}

/// What is left of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Method and path template, such as `GET /users`.
    pub endpoint: &'static str,
    /// The window, as it is in force.
    pub window: Window,
    /// Requests left in the window that ends now.
    pub remaining: u32,
    /// When one more becomes free; now, if none is in use.
    pub resets_at: Timestamp,
}

/// The account could not be reached, so that nothing was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// Why.
    pub reason: String,
    /// Whether those who share the account may be on other machines.
    ///
    /// Those on this machine meet the same trouble.
    pub elsewhere: bool,
}

/// One account of calls, shared by all who send to a tenant.
///
/// Every window is kept in sum over all of them: a request is counted before it leaves.
pub trait CallAccount: Send + Sync + fmt::Debug {
    /// Counts a request as leaving, if it may leave now.
    fn take<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Granted, Unaccounted>>;

    /// When the last of some requests could leave, as things are; nothing is counted.
    fn next<'a>(&'a self, asks: &'a [Ask<'a>]) -> BoxFuture<'a, Result<Timestamp, Unaccounted>>;

    /// The answer of a departure came, so that the vendor has counted it by now.
    fn answered(&self, ticket: Ticket) -> BoxFuture<'_, ()>;

    /// A 429 came: nothing leaves before a time, and a limit may have been told.
    fn refused<'a>(
        &'a self,
        tenant: &'a str,
        terms: &'a Terms,
        closed_until: Timestamp,
        lesson: Option<Window>,
    ) -> BoxFuture<'a, Result<(), Unaccounted>>;

    /// What is left of every window.
    fn left<'a>(
        &'a self,
        tenant: &'a str,
        terms: &'a [Terms],
    ) -> BoxFuture<'a, Result<Vec<Left>, Unaccounted>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(windows: &[(u32, Per)]) -> Terms {
        let windows = windows.iter().map(|(limit, per)| Window { limit: *limit, per: *per }).collect();
        let configured = String::new();
        Terms { endpoint: "GET /users", windows, configured, reserved: true, background: 50 }
    }

    fn hour(terms: &Terms, purpose: Purpose) -> Vec<u32> {
        let caps = terms.caps(purpose, &Lessons::default());
        caps.into_iter().filter(|c| c.per == Per::Hour).map(|c| c.limit).collect()
    }

    #[test]
    fn a_fifth_of_each_hour_is_kept_for_finishing() {
        for (limit, kept) in [(1, 0), (3, 0), (4, 1), (5, 1), (6, 2), (40, 8), (1000, 200)] {
            assert_eq!(reserve(limit), kept, "{limit}");
        }
        let lists = terms(&[(1, Per::Second), (10, Per::Minute), (40, Per::Hour)]);
        assert_eq!(hour(&lists, Purpose::Finish), [40]);
        assert_eq!(hour(&lists, Purpose::Read), [32]);
        assert_eq!(hour(&lists, Purpose::Background), [32, 20]);
        assert_eq!(hour(&Terms { reserved: false, ..lists }, Purpose::Read), [40]);
    }

    #[test]
    fn lessons_only_lower() {
        let mut lessons = Lessons::default();
        for limit in [5, 9, 3, 0, 4] {
            lessons.learn(Window { limit, per: Per::Minute });
        }
        assert_eq!(lessons.minute, Some(1));
        let lists = terms(&[(1, Per::Second), (40, Per::Hour)]);
        lessons = Lessons { hour: Some(50), minute: Some(7), second: None };
        let windows: Vec<_> = lists.windows(&lessons).iter().map(|w| (w.limit, w.per)).collect();
        assert_eq!(windows, [(1, Per::Second), (7, Per::Minute), (40, Per::Hour)]);
    }

    #[test]
    fn a_request_leaves_when_every_window_lets_it() {
        let cap = |limit, per| Cap { limit, per, background_only: false };
        let caps = [cap(1, Per::Second), cap(40, Per::Hour)];
        let second = 1_000_000;
        assert_eq!(opens(&caps, &[None, None], None, 7), 7);
        assert_eq!(opens(&caps, &[Some(0), None], None, 7), second + MARGIN);
        assert_eq!(opens(&caps, &[Some(0), Some(0)], None, 7), 3600 * second + MARGIN);
        assert_eq!(opens(&caps, &[Some(0), None], None, 9 * second), 9 * second);
        assert_eq!(opens(&caps, &[None, None], Some(5), 2), 5);
        // On its way: it may be counted as late as now.
        assert_eq!(opens(&caps, &[Some(2 * second), None], None, second), 2 * second + MARGIN);
    }
}
