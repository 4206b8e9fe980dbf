//! An account in memory, with the arithmetic that the store's uses.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use futures::{FutureExt as _, future::BoxFuture, future::ready};
use jiff::Timestamp;
use zia_mcp::model::{
    Ask, CallAccount, Clock, Granted, Left, Lessons, ON_ITS_WAY, Purpose, Terms, Ticket, Unaccounted, Window,
    opens,
};

/// A departure: when it counts, and whether it is background work.
type Row = (i64, bool);

/// Who left when.
#[derive(Debug)]
pub(super) struct Ledger {
    clock: Clock,
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    last: i64,
    by_endpoint: HashMap<&'static str, HashMap<i64, Row>>,
}

impl Ledger {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, rows: Mutex::default() }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_microsecond()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().expect("no panic")
    }

    fn opening(&self, ask: Ask<'_>, now: i64) -> i64 {
        let rows = self.rows();
        let caps = ask.terms.caps(ask.purpose, &Lessons::default());
        let none = HashMap::new();
        let left = rows.by_endpoint.get(ask.terms.endpoint).unwrap_or(&none);
        let mut counts: Vec<Row> = left.values().copied().collect();
        counts.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        let nth_last = |cap: &zia_mcp::model::Cap| {
            let those = counts.iter().filter(|(_, background)| *background || !cap.background_only);
            those.map(|(at, _)| *at).nth(cap.limit as usize - 1)
        };
        opens(&caps, &caps.iter().map(nth_last).collect::<Vec<_>>(), None, now)
    }

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).expect("a time")
    }
}

impl CallAccount for Ledger {
    fn take<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Granted, Unaccounted>> {
        let now = self.now();
        let opens = self.opening(ask, now);
        if opens > now {
            return ready(Ok(Granted::NotBefore(Self::time(opens)))).boxed();
        }
        let mut rows = self.rows();
        rows.last += 1;
        let id = rows.last;
        let left = rows.by_endpoint.entry(ask.terms.endpoint).or_default();
        left.retain(|_, (at, _)| *at > now - 3_660_000_000);
        left.insert(id, (now + ON_ITS_WAY, ask.purpose == Purpose::Background));
        ready(Ok(Granted::Leave(Ticket(id)))).boxed()
    }

    fn next<'a>(&'a self, asks: &'a [Ask<'a>]) -> BoxFuture<'a, Result<Timestamp, Unaccounted>> {
        let now = self.now();
        let last = asks.iter().map(|ask| self.opening(*ask, now)).max().unwrap_or(now);
        ready(Ok(Self::time(last))).boxed()
    }

    fn answered(&self, ticket: Ticket) -> BoxFuture<'_, ()> {
        let now = self.now();
        let mut rows = self.rows();
        for row in rows.by_endpoint.values_mut().filter_map(|left| left.get_mut(&ticket.0)) {
            row.0 = now;
        }
        ready(()).boxed()
    }

    fn refused<'a>(
        &'a self,
        _: &'a str,
        terms: &'a Terms,
        _: Timestamp,
        _: Option<Window>,
    ) -> BoxFuture<'a, Result<(), Unaccounted>> {
        panic!("{} was refused", terms.endpoint)
    }

    fn left<'a>(&'a self, _: &'a str, _: &'a [Terms]) -> BoxFuture<'a, Result<Vec<Left>, Unaccounted>> {
        ready(Ok(Vec::new())).boxed()
    }
}
