//! How many calls may be under way at once: of all, and of one caller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Calls under way at once; more are answered 503 (guardrails F40).
pub(super) const MAX_CALLS: u32 = 1024;

/// Calls that a caller may always have under way (guardrails F40).
///
/// Beyond these it takes what nobody else wants: calls wait for a person or for ZIA, so a chatops bot
/// of many users has more than these at times.
const OWN: usize = 16;

/// Calls that must be free for a caller to have more than its own: half of all.
const SPARE: usize = MAX_CALLS as usize / 2;

/// Counts the calls under way.
#[derive(Clone)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    each: Each,
}

/// Calls by caller; a plain mutex, since nothing is awaited under it.
type Each = Arc<Mutex<HashMap<String, usize>>>;

/// A call's turn, until it is dropped.
pub(super) struct Turn {
    _one_of_all: OwnedSemaphorePermit,
    each: Each,
    caller: String,
}

/// Why a call has to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// There are too many calls.
    Server,
    /// There are too many of this caller, and not much room for others.
    Caller,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_CALLS as usize)), each: Each::default() }
    }

    /// A turn for one more call of a caller, at once or not at all.
    pub(super) fn enter(&self, caller: &str) -> Result<Turn, Busy> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let own = each.get(caller).copied().unwrap_or_default();
        if own >= OWN && self.all.available_permits() <= SPARE {
            return Err(Busy::Caller);
        }
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Busy::Server)?;
        each.insert(caller.to_owned(), own + 1);
        drop(each);
        Ok(Turn { _one_of_all: one_of_all, each: Arc::clone(&self.each), caller: caller.to_owned() })
    }

    /// One permit for each call that may be under way.
    pub(super) fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.all)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                each.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(turns: &Turns, caller: &str, count: usize) -> Vec<Result<Turn, Busy>> {
        (0..count).map(|_| turns.enter(caller)).collect()
    }

    fn admitted(entered: &[Result<Turn, Busy>]) -> usize {
        entered.iter().filter(|turn| turn.is_ok()).count()
    }

    #[test]
    fn f40_a_greedy_caller_takes_half_and_the_others_still_get_their_sixteen() {
        let turns = Turns::new();
        let greedy = enter(&turns, "greedy", 10_000);
        assert_eq!(admitted(&greedy), 512);
        assert_eq!(greedy.last().and_then(|turn| turn.as_ref().err()), Some(&Busy::Caller));
        let others: Vec<_> = (0..32).map(|other| enter(&turns, &other.to_string(), 17)).collect();
        for other in &others {
            assert_eq!(admitted(other), 16);
        }
        assert_eq!(turns.enter("late").err(), Some(Busy::Server), "512 and 32 times 16 are all there are");
    }

    #[test]
    fn f40_who_is_done_makes_room_and_is_forgotten() {
        let turns = Turns::new();
        let mut greedy = enter(&turns, "greedy", 600);
        assert!(turns.enter("greedy").is_err());
        greedy.drain(..100);
        assert!(turns.enter("greedy").is_ok());
        drop(greedy);
        assert!(turns.each.lock().unwrap().is_empty() && turns.all.available_permits() == 1024);
    }

    #[test]
    fn f40_an_idle_server_gives_one_caller_more_than_sixteen() {
        let turns = Turns::new();
        assert_eq!(admitted(&enter(&turns, "bot", 100)), 100);
    }
}
