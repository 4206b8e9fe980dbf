//! Time limits of calls, and the queue of writers before the embedded database.
//!
//! A store that hangs is told within two seconds. One that is busy is not hanging: while the writers
//! ahead get on, those in the queue wait longer, and their two seconds begin once it is their turn.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::LIMIT;
use crate::store::StoreError;

/// The longest that a writer waits while others get on.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

tokio::task_local! {
    static TURN: Arc<Turn>;
}

/// Since when a call has the database's attention; plain, since no await happens under it.
#[derive(Debug)]
struct Turn(Mutex<Option<Instant>>);

impl Turn {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// When its time is over; none while it waits in the queue.
    fn ends(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since + LIMIT)
    }
}

/// Gives a call [`LIMIT`] to answer, without the time that it waits for its turn to write.
pub(in crate::store) async fn bounded<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let turn = Arc::new(Turn(Mutex::new(Some(Instant::now()))));
    let mut work = pin!(TURN.scope(turn.clone(), work));
    loop {
        let now = Instant::now();
        let ends = turn.ends();
        if ends.is_some_and(|ends| ends <= now) {
            return Err(late());
        }
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep_until(ends.unwrap_or(now + LIMIT)) => {}
        }
    }
}

fn late() -> StoreError {
    StoreError::unavailable("no answer within two seconds")
}

fn crowded() -> StoreError {
    StoreError::unavailable("too many writers were ahead for too long")
}

/// Those who wait for the one connection that writes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Transactions that came through.
    done: AtomicU64,
}

impl Queue {
    /// Notes that a transaction came through.
    pub(super) fn gets_on(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for a turn, as long as others get on.
    ///
    /// # Errors
    /// `Unavailable` if nobody came through for two seconds, or after [`PATIENCE`]; else as `begin`.
    pub(super) async fn wait<T>(
        &self,
        begin: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        let turn = TURN.try_with(Arc::clone).ok();
        let queued = |since| turn.iter().for_each(|turn| turn.set(since));
        let (mut begin, until) = (pin!(begin), Instant::now() + PATIENCE);
        queued(None);
        let begun = loop {
            let before = self.done.load(Ordering::Relaxed);
            match timeout(LIMIT, &mut begin).await {
                Ok(begun) => break begun.map_err(StoreError::from),
                Err(_) if self.done.load(Ordering::Relaxed) == before => break Err(late()),
                Err(_) if Instant::now() >= until => break Err(crowded()),
                Err(_) => {}
            }
        };
        queued(Some(Instant::now()));
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn after(time: Duration) -> Result<(), sqlx::Error> {
        tokio::time::sleep(time).await;
        Ok(())
    }

    async fn waits(queue: &Queue, turn: Duration, then: Duration) -> Result<(), StoreError> {
        bounded(async {
            queue.wait(after(turn)).await?;
            Ok(after(then).await?)
        })
        .await
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn f7_a_writer_behind_others_that_hang_is_told_within_two_seconds() {
        let began = Instant::now();
        assert_eq!(waits(&Queue::default(), 60 * SECOND, SECOND).await, Err(late()));
        assert_eq!(began.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_behind_others_that_get_on_waits_for_its_turn_and_has_its_time_then() {
        let queue = Queue::default();
        let others = async {
            loop {
                tokio::time::sleep(SECOND).await;
                queue.gets_on();
            }
        };
        let ours = async {
            assert_eq!(waits(&queue, 9 * SECOND, SECOND).await, Ok(()));
            let began = Instant::now();
            assert_eq!(waits(&queue, 9 * SECOND, 3 * SECOND).await, Err(late()), "its turn is over");
            assert_eq!(began.elapsed(), 9 * SECOND + LIMIT);
            let began = Instant::now();
            assert_eq!(waits(&queue, 60 * SECOND, SECOND).await, Err(crowded()), "for ever is too long");
            assert!(began.elapsed() <= PATIENCE + LIMIT);
        };
        tokio::select! {
            () = ours => {}
            () = others => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn f7_what_waits_for_no_turn_has_two_seconds() {
        let began = Instant::now();
        assert_eq!(bounded(async { Ok(after(3 * SECOND).await?) }).await, Err(late()));
        assert_eq!(began.elapsed(), LIMIT);
    }
}
