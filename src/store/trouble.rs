//! Trouble on demand: where the store's calls can be made to fail, for tests.
//!
//! An argument of opening and nothing else: no setting and no environment leads here.

use std::{fmt, sync::Arc};

use super::StoreError;

/// A call of the store that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A writing transaction begins.
    Begin,
    /// A writing transaction is committed.
    Commit,
    /// Something is read outside of one.
    Read,
    /// A call of ZIA is counted.
    Count,
    /// The key file is replaced.
    KeyFile,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mishap {
    /// Nothing was done.
    NotDone,
    /// It was done, and the answer is an error all the same (F8).
    DoneUnheard,
}

/// Decides for each call whether it fails.
type Plan = dyn Fn(Step) -> Option<Mishap> + Send + Sync;

/// What befalls a store; nothing, outside of tests.
#[derive(Clone, Default)]
pub struct Trouble(Option<Arc<Plan>>);

impl Trouble {
    /// Trouble by plan: asked at each call, in the order of the calls.
    pub fn planned(plan: impl Fn(Step) -> Option<Mishap> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(plan)))
    }

    /// Fails a call before it did anything; otherwise gives what to answer once it is done.
    pub(super) fn at(&self, step: Step) -> Result<Result<(), StoreError>, StoreError> {
        match self.0.as_ref().and_then(|plan| plan(step)) {
            None => Ok(Ok(())),
            Some(Mishap::DoneUnheard) if step != Step::Read => Ok(Err(planned())),
            Some(_) => Err(planned()),
        }
    }
}

fn planned() -> StoreError {
    StoreError::unavailable("trouble was planned")
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Trouble(planned)" } else { "Trouble(none)" })
    }
}
