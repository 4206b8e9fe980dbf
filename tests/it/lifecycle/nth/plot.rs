//! When the store fails, and how.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use zia_mcp::store::{Mishap, Step, Trouble};

/// The call that fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) step: Step,
    pub(super) how: Mishap,
    /// Which call of its kind, from 1.
    pub(super) nth: usize,
    /// Whether every call after it fails too, until the store is mended.
    pub(super) lasting: bool,
}

impl Plot {
    pub(super) fn never() -> Self {
        Self { step: Step::Begin, how: Mishap::NotDone, nth: usize::MAX, lasting: false }
    }
}

/// A plot as it takes its course.
pub(super) struct Planned {
    plot: Plot,
    begun: AtomicBool,
    struck: AtomicBool,
    mended: AtomicBool,
    seen: Mutex<Vec<Step>>,
}

impl Planned {
    pub(super) fn new(plot: Plot) -> (Arc<Self>, Trouble) {
        let [begun, struck, mended] = [false; 3].map(AtomicBool::new);
        let planned = Arc::new(Self { plot, begun, struck, mended, seen: Mutex::default() });
        let trouble = Trouble::planned({
            let planned = planned.clone();
            move |step| planned.befalls(step)
        });
        (planned, trouble)
    }

    /// Counts from now on.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    pub(super) fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }

    pub(super) fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }

    /// How often the store was called so.
    pub(super) fn count(&self, step: Step) -> usize {
        self.seen.lock().unwrap().iter().filter(|s| **s == step).count()
    }

    fn befalls(&self, step: Step) -> Option<Mishap> {
        if !self.begun.load(Ordering::SeqCst) || self.mended.load(Ordering::SeqCst) {
            return None;
        }
        let nth = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(step);
            seen.iter().filter(|s| **s == step).count()
        };
        if self.struck() {
            return self.plot.lasting.then_some(Mishap::NotDone);
        }
        if step != self.plot.step || nth != self.plot.nth {
            return None;
        }
        self.struck.store(true, Ordering::SeqCst);
        Some(self.plot.how)
    }
}
