//! The call budget: one account per tenant and endpoint, shared by every process on the store.
//!
//! A request is counted before it leaves, in one short transaction, so that a process killed at any
//! instant has at worst counted a request that never left. The count is not forced to the disk, which
//! would make each read pay for an fsync: after a power cut the last moments may be missing, and that
//! costs one 429 at worst, which closes the endpoint for everybody.
//!
//! Times are the day's, since processes share no other. Where that clock is set back, what left in its
//! future counts as leaving now: no window opens early, and none stays closed for longer than it lasts.

use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use jiff::Timestamp;
use sqlx::Row as _;

use super::{
    Store, StoreError,
    engine::{Db, Tx, bounded},
    time,
};
use crate::model::{
    Ask, CallAccount, Cap, Granted, LONGEST_CLOSURE, Left, Lessons, ON_ITS_WAY, Purpose, Terms, Ticket,
    Unaccounted, Window, opens, remaining,
};

/// Departures of a process between two prunings.
const PRUNE_EVERY: u32 = 64;

/// Departures older than this count nowhere, in microseconds: longer than any window.
const OLD: i64 = 3_660_000_000;

/// More departures than there ever are: where a window does not exist, nothing is that far back.
const NOWHERE: i64 = 1_000_000_000;

const PRUNE: &str = "DELETE FROM call_departures WHERE counts_at < $1";

/// The most windows of an endpoint.
const WINDOWS: usize = 3;

/// A departure that was counted so long before it leaves is counted anew, in microseconds.
const LATE: i64 = 20_000;

/// What is on the account, seen with the eyes of one request.
struct View {
    closed_until: Option<i64>,
    lessons: Lessons,
    /// For each cap, when its `limit`-th last departure counts.
    nth_last: Vec<Option<i64>>,
    newest: Option<i64>,
}

impl View {
    /// Whether it holds times that a clock which was never set back would not have written.
    fn is_from_the_future(&self, now: i64) -> bool {
        self.newest.is_some_and(|at| at > now + ON_ITS_WAY)
            || self.closed_until.is_some_and(|until| until > now + LONGEST_CLOSURE)
    }
}

/// One statement for everything that a request has to know.
const VIEW: &str = "SELECT l.closed_until, l.configured, l.per_second, l.per_minute, l.per_hour, \
    (SELECT d.counts_at FROM call_departures d WHERE d.tenant = $1 AND d.endpoint = $2 \
     ORDER BY d.counts_at DESC LIMIT 1), \
    (SELECT d.counts_at FROM call_departures d WHERE d.tenant = $1 AND d.endpoint = $2 \
     ORDER BY d.counts_at DESC LIMIT 1 OFFSET $3), \
    (SELECT d.counts_at FROM call_departures d WHERE d.tenant = $1 AND d.endpoint = $2 \
     ORDER BY d.counts_at DESC LIMIT 1 OFFSET $4), \
    (SELECT d.counts_at FROM call_departures d WHERE d.tenant = $1 AND d.endpoint = $2 \
     ORDER BY d.counts_at DESC LIMIT 1 OFFSET $5), \
    (SELECT d.counts_at FROM call_departures d WHERE d.tenant = $1 AND d.endpoint = $2 \
     AND d.background = 1 ORDER BY d.counts_at DESC LIMIT 1 OFFSET $6) \
    FROM (SELECT 1 AS one) o LEFT JOIN call_limits l ON l.tenant = $1 AND l.endpoint = $2";

/// Counts a departure where nothing stands in its way, in one statement: most find nothing there.
const AT_ONCE: &str = "INSERT INTO call_departures (id, tenant, endpoint, counts_at, background) \
    SELECT $1, $2, $3, $4, $5 \
    WHERE NOT EXISTS (SELECT 1 FROM call_limits WHERE tenant = $2 AND endpoint = $3 AND (closed_until > $6 \
     OR per_second IS NOT NULL OR per_minute IS NOT NULL OR per_hour IS NOT NULL)) \
    AND NOT EXISTS (SELECT 1 FROM call_departures WHERE tenant = $2 AND endpoint = $3 AND counts_at > $4) \
    AND COALESCE((SELECT counts_at FROM call_departures WHERE tenant = $2 AND endpoint = $3 \
     ORDER BY counts_at DESC LIMIT 1 OFFSET $7), 0) <= $8 \
    AND COALESCE((SELECT counts_at FROM call_departures WHERE tenant = $2 AND endpoint = $3 \
     ORDER BY counts_at DESC LIMIT 1 OFFSET $9), 0) <= $10 \
    AND COALESCE((SELECT counts_at FROM call_departures WHERE tenant = $2 AND endpoint = $3 \
     ORDER BY counts_at DESC LIMIT 1 OFFSET $11), 0) <= $12";

impl Store {
    async fn take_departure(&self, ask: Ask<'_>) -> Result<Granted, StoreError> {
        // One statement is a transaction of its own in SQLite, and there alone nobody comes between.
        if !self.0.engine.is_remote()
            && ask.purpose != Purpose::Background
            && let Some(ticket) = self.leave_at_once(ask).await?
        {
            return Ok(Granted::Leave(ticket));
        }
        self.take_or_wait(ask).await
    }

    /// Counts a departure if every documented window is open, and nothing was learned.
    async fn leave_at_once(&self, ask: Ask<'_>) -> Result<Option<Ticket>, StoreError> {
        let pool = self.0.engine.light()?;
        let (ticket, now) = (new_ticket(), self.now().as_microsecond());
        let mut query = sqlx::query(AT_ONCE)
            .bind(ticket.0)
            .bind(ask.tenant)
            .bind(ask.terms.endpoint)
            .bind(now + ON_ITS_WAY)
            .bind(0_i64)
            .bind(now);
        let caps = ask.terms.caps(ask.purpose, &Lessons::default());
        for place in 0..WINDOWS {
            let cap = caps.get(place);
            let last = cap.map_or(i64::MAX, |cap| now - cap.wait());
            query = query.bind(offset(cap)).bind(last);
        }
        if query.execute(pool).await?.rows_affected() == 0 {
            return Ok(None);
        }
        // It waited for others: they may have left in between, but it leaves only now.
        if self.now().as_microsecond() - now > LATE {
            self.retime(ticket, ON_ITS_WAY).await?;
        }
        if self.is_time_to_prune() {
            sqlx::query(PRUNE).bind(now - OLD).execute(pool).await?;
        }
        Ok(Some(ticket))
    }

    fn is_time_to_prune(&self) -> bool {
        self.0.counted.fetch_add(1, Ordering::Relaxed).is_multiple_of(PRUNE_EVERY)
    }

    /// Says anew when a departure may be counted at the latest, from now on.
    async fn retime(&self, ticket: Ticket, ahead: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE call_departures SET counts_at = $1 WHERE id = $2")
            .bind(self.now().as_microsecond() + ahead)
            .bind(ticket.0)
            .execute(self.0.engine.light()?)
            .await?;
        Ok(())
    }

    async fn take_or_wait(&self, ask: Ask<'_>) -> Result<Granted, StoreError> {
        let mut tx = self.0.engine.begin_light().await?;
        // Read under the lock, so that times come in order.
        let now = self.now().as_microsecond();
        let (opens, mended) = opening(&mut tx, ask, now).await?;
        if opens > now {
            if mended {
                self.0.engine.commit_light(tx).await?;
            }
            return Ok(Granted::NotBefore(time(opens)?));
        }
        let ticket = new_ticket();
        sqlx::query(
            "INSERT INTO call_departures (id, tenant, endpoint, counts_at, background) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(ticket.0)
        .bind(ask.tenant)
        .bind(ask.terms.endpoint)
        .bind(now + ON_ITS_WAY)
        .bind(i64::from(ask.purpose == Purpose::Background))
        .execute(&mut *tx)
        .await?;
        if self.is_time_to_prune() {
            sqlx::query(PRUNE).bind(now - OLD).execute(&mut *tx).await?;
        }
        self.0.engine.commit_light(tx).await?;
        Ok(Granted::Leave(ticket))
    }

    async fn next_departure(&self, asks: &[Ask<'_>]) -> Result<Timestamp, StoreError> {
        let now = self.now().as_microsecond();
        let (mut last, documented) = (now, Lessons::default());
        for ask in asks {
            let mut view = view(self.0.engine.reader(), *ask, &documented).await?;
            if view.lessons != documented {
                view = self::view(self.0.engine.reader(), *ask, &view.lessons).await?;
            }
            // Nothing is mended here; what comes from the future is as if it left now.
            let closed = view.closed_until.map(|until| until.min(now + LONGEST_CLOSURE));
            let caps = ask.terms.caps(ask.purpose, &view.lessons);
            last = last.max(opens(&caps, &view.nth_last, closed, now));
        }
        time(last)
    }

    async fn departure_refused(
        &self,
        tenant: &str,
        terms: &Terms,
        closed_until: i64,
        lesson: Option<Window>,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.engine.begin_light().await?;
        let now = self.now().as_microsecond();
        let ask = Ask { tenant, terms, purpose: Purpose::Finish };
        let view = view(&mut *tx, ask, &Lessons::default()).await?;
        let earlier = view.closed_until.filter(|until| *until <= now + LONGEST_CLOSURE);
        let closed_until = closed_until.min(now + LONGEST_CLOSURE).max(earlier.unwrap_or(i64::MIN));
        let mut lessons = view.lessons;
        lesson.into_iter().for_each(|lesson| lessons.learn(lesson));
        sqlx::query(
            "INSERT INTO call_limits (tenant, endpoint, closed_until, configured, per_second, per_minute, \
             per_hour) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant, endpoint) DO UPDATE SET \
             closed_until = excluded.closed_until, configured = excluded.configured, \
             per_second = excluded.per_second, per_minute = excluded.per_minute, per_hour = excluded.per_hour",
        )
        .bind(tenant)
        .bind(terms.endpoint)
        .bind(closed_until)
        .bind(terms.configured.as_str())
        .bind(lessons.second.map(i64::from))
        .bind(lessons.minute.map(i64::from))
        .bind(lessons.hour.map(i64::from))
        .execute(&mut *tx)
        .await?;
        self.0.engine.commit_light(tx).await
    }

    async fn departures_left(&self, tenant: &str, terms: &[Terms]) -> Result<Vec<Left>, StoreError> {
        let mut tx = self.0.engine.snapshot().await?;
        let now = self.now().as_microsecond();
        let mut left = Vec::new();
        for terms in terms {
            let ask = Ask { tenant, terms, purpose: Purpose::Finish };
            let view = view(&mut *tx, ask, &Lessons::default()).await?;
            let closed = view.closed_until.map(|until| until.min(now + LONGEST_CLOSURE));
            let counted = recent(&mut tx, ask, now).await?;
            for window in terms.windows(&view.lessons) {
                let (remaining, resets) = remaining(window, &counted, closed, now);
                let resets_at = time(resets)?;
                left.push(Left { endpoint: terms.endpoint, window, remaining, resets_at });
            }
        }
        Ok(left)
    }

    fn unaccounted(&self, error: &StoreError) -> Unaccounted {
        Unaccounted { reason: error.to_string(), elsewhere: self.0.engine.is_remote() }
    }
}

/// When a request may leave, and whether times had to be mended to tell.
async fn opening(tx: &mut Tx, ask: Ask<'_>, now: i64) -> Result<(i64, bool), StoreError> {
    let mut view = view_for(tx, ask).await?;
    let mended = view.is_from_the_future(now);
    if mended {
        mend(tx, ask, now).await?;
        view = view_for(tx, ask).await?;
    }
    let caps = ask.terms.caps(ask.purpose, &view.lessons);
    Ok((opens(&caps, &view.nth_last, view.closed_until, now), mended))
}

/// The view with the limits that were learned; those are rare, and cost a second reading.
async fn view_for(tx: &mut Tx, ask: Ask<'_>) -> Result<View, StoreError> {
    let documented = Lessons::default();
    let first = view(&mut **tx, ask, &documented).await?;
    if first.lessons == documented { Ok(first) } else { view(&mut **tx, ask, &first.lessons).await }
}

async fn view<'c>(
    on: impl sqlx::Executor<'c, Database = Db>,
    ask: Ask<'_>,
    lessons: &Lessons,
) -> Result<View, StoreError> {
    let caps = ask.terms.caps(ask.purpose, lessons);
    let (background, windows): (Vec<&Cap>, Vec<&Cap>) = caps.iter().partition(|cap| cap.background_only);
    let offset = |cap: Option<&&Cap>| offset(cap.copied());
    let row = sqlx::query(VIEW)
        .bind(ask.tenant)
        .bind(ask.terms.endpoint)
        .bind(offset(windows.first()))
        .bind(offset(windows.get(1)))
        .bind(offset(windows.get(2)))
        .bind(offset(background.first()))
        .fetch_one(on)
        .await?;
    let number = |column: usize| row.try_get::<Option<i64>, _>(column);
    let learned = |column| number(column).map(|n| n.and_then(|n| u32::try_from(n).ok()));
    let configured: Option<String> = row.try_get(1)?;
    let lessons = match configured {
        Some(under) if under == ask.terms.configured => {
            Lessons { second: learned(2)?, minute: learned(3)?, hour: learned(4)? }
        }
        _ => Lessons::default(),
    };
    // In the order of the caps: those of background calls come last.
    let mut nth_last = Vec::with_capacity(caps.len());
    for column in 6..6 + windows.len().min(3) {
        nth_last.push(number(column)?);
    }
    if !background.is_empty() {
        nth_last.push(number(9)?);
    }
    Ok(View { closed_until: number(0)?, lessons, nth_last, newest: number(5)? })
}

/// Makes what left in the future of a clock that was set back leave now.
async fn mend(tx: &mut Tx, ask: Ask<'_>, now: i64) -> Result<(), StoreError> {
    tracing::warn!(
        zia.endpoint = ask.terms.endpoint,
        "the clock was set back; calls counted in its future count as made now"
    );
    sqlx::query(
        "UPDATE call_departures SET counts_at = $3 WHERE tenant = $1 AND endpoint = $2 AND counts_at > $3",
    )
    .bind(ask.tenant)
    .bind(ask.terms.endpoint)
    .bind(now + ON_ITS_WAY)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE call_limits SET closed_until = $3 WHERE tenant = $1 AND endpoint = $2 AND closed_until > $3",
    )
    .bind(ask.tenant)
    .bind(ask.terms.endpoint)
    .bind(now + LONGEST_CLOSURE)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn new_ticket() -> Ticket {
    Ticket(i64::from_le_bytes(rand::random::<[u8; 8]>()))
}

/// How many departures are later than the one that a limit is measured from.
fn offset(cap: Option<&Cap>) -> i64 {
    cap.map_or(NOWHERE, |cap| i64::from(cap.limit.saturating_sub(1)))
}

/// When the departures that may still count were counted.
async fn recent(tx: &mut Tx, ask: Ask<'_>, now: i64) -> Result<Vec<i64>, StoreError> {
    let query = sqlx::query_scalar::<_, i64>(
        "SELECT counts_at FROM call_departures WHERE tenant = $1 AND endpoint = $2 AND counts_at > $3",
    );
    let query = query.bind(ask.tenant).bind(ask.terms.endpoint).bind(now - OLD);
    Ok(query.fetch_all(&mut **tx).await?)
}

impl CallAccount for Store {
    fn take<'a>(&'a self, ask: Ask<'a>) -> BoxFuture<'a, Result<Granted, Unaccounted>> {
        Box::pin(async move { bounded(self.take_departure(ask)).await.map_err(|e| self.unaccounted(&e)) })
    }

    fn next<'a>(&'a self, asks: &'a [Ask<'a>]) -> BoxFuture<'a, Result<Timestamp, Unaccounted>> {
        Box::pin(async move { bounded(self.next_departure(asks)).await.map_err(|e| self.unaccounted(&e)) })
    }

    fn answered(&self, ticket: Ticket) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // Untold, the others wait as if it were still on its way, two seconds at most.
            if let Err(error) = bounded(self.retime(ticket, 0)).await {
                tracing::debug!(%error, "an answered call stays on the account as on its way");
            }
        })
    }

    fn refused<'a>(
        &'a self,
        tenant: &'a str,
        terms: &'a Terms,
        closed_until: Timestamp,
        lesson: Option<Window>,
    ) -> BoxFuture<'a, Result<(), Unaccounted>> {
        Box::pin(async move {
            let work = self.departure_refused(tenant, terms, closed_until.as_microsecond(), lesson);
            bounded(work).await.map_err(|e| self.unaccounted(&e))
        })
    }

    fn left<'a>(
        &'a self,
        tenant: &'a str,
        terms: &'a [Terms],
    ) -> BoxFuture<'a, Result<Vec<Left>, Unaccounted>> {
        Box::pin(async move {
            bounded(self.departures_left(tenant, terms)).await.map_err(|e| self.unaccounted(&e))
        })
    }
}
