//! Which requests wait for an answer, on either side.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rmcp::model::RequestId;
use tokio::sync::Notify;

/// Cancelled ids kept. MCP forbids to use an id again; this bounds what we hold of those who do not.
const CANCELLED: usize = 4096;

/// The requests under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// A plain mutex: held for a few map operations, never across an await.
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The client's, and whether the end of the input waits for them.
    calls: HashMap<RequestId, bool>,
    /// The client's, cancelled: a late answer must not be taken for that of a new call.
    cancelled: HashSet<RequestId>,
    /// Ours.
    asked: HashSet<RequestId>,
    /// The highest id of ours so far; rmcp counts up.
    last_asked: Option<i64>,
}

/// Whose question an answer of the client belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One that waits.
    Awaited,
    /// One that we gave up.
    Late,
    /// None of ours.
    Unasked,
}

impl Flight {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request came in; false if its id is taken.
    pub(super) fn begin(&self, id: &RequestId, method: &str) -> bool {
        let mut state = self.state();
        if state.calls.contains_key(id) || state.cancelled.contains(id) {
            return false;
        }
        // A subscription ends with the input, not by itself.
        state.calls.insert(id.clone(), method != "subscriptions/listen");
        true
    }

    /// A request is answered.
    pub(super) fn finish(&self, id: &RequestId) {
        self.state().calls.remove(id);
        self.changed.notify_one();
    }

    /// The client gave a request up: rmcp will not send its answer.
    pub(super) fn cancel(&self, id: &RequestId) {
        let mut state = self.state();
        if state.calls.remove(id).is_some() {
            if state.cancelled.len() >= CANCELLED {
                state.cancelled.clear();
            }
            state.cancelled.insert(id.clone());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A request of ours goes out.
    pub(super) fn ask(&self, id: &RequestId) {
        let mut state = self.state();
        state.asked.insert(id.clone());
        if let RequestId::Number(number) = id {
            state.last_asked = state.last_asked.max(Some(*number));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// An answer came in.
    pub(super) fn answered(&self, id: &RequestId) -> Answer {
        let mut state = self.state();
        match id {
            id if state.asked.remove(id) => Answer::Awaited,
            RequestId::Number(n) if *n >= 0 && Some(*n) <= state.last_asked => Answer::Late,
            _ => Answer::Unasked,
        }
    }

    /// Takes a request of ours that waits for an answer.
    pub(super) fn give_up_one(&self) -> Option<RequestId> {
        let mut state = self.state();
        let id = state.asked.iter().next().cloned()?;
        state.asked.remove(&id);
        Some(id)
    }

    /// Whether no call is left that the end waits for.
    pub(super) fn is_over(&self) -> bool {
        !self.state().calls.values().any(|waited| *waited)
    }

    /// Waits for a change.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: i64) -> RequestId {
        RequestId::Number(number)
    }

    #[test]
    fn an_id_is_free_again_once_answered_but_not_once_cancelled() {
        let flight = Flight::default();
        assert!(flight.begin(&id(1), "tools/call"));
        assert!(!flight.begin(&id(1), "tools/call"));
        flight.finish(&id(1));
        assert!(flight.begin(&id(1), "tools/call"));
        flight.cancel(&id(1));
        assert!(flight.is_over());
        assert!(!flight.begin(&id(1), "tools/call"));
        assert!(flight.begin(&RequestId::String("1".into()), "tools/call"));
    }

    #[test]
    fn the_end_does_not_wait_for_subscriptions() {
        let flight = Flight::default();
        assert!(flight.begin(&id(1), "subscriptions/listen"));
        assert!(flight.is_over());
        assert!(flight.begin(&id(2), "tools/call"));
        assert!(!flight.is_over());
    }

    #[test]
    fn answers_are_told_apart_by_who_asked() {
        let flight = Flight::default();
        assert_eq!(flight.answered(&id(0)), Answer::Unasked);
        flight.ask(&id(0));
        flight.ask(&id(1));
        assert_eq!(flight.answered(&id(0)), Answer::Awaited);
        assert_eq!(flight.answered(&id(0)), Answer::Late);
        assert_eq!(flight.give_up_one(), Some(id(1)));
        assert_eq!(flight.give_up_one(), None);
        assert_eq!(flight.answered(&id(2)), Answer::Unasked);
        assert_eq!(flight.answered(&id(-1)), Answer::Unasked);
    }
}
