//! The state of things for those who watch the server: figures only, nobody's names.

use std::time::Duration;

use jiff::Timestamp;

use super::{Lifecycle, executor::VERIFIED};
use crate::{
    store::{Figures, StoreError},
    telemetry::{BudgetLeft, IndexReading, Operations, Reading},
};

impl Lifecycle {
    /// How things stand at this moment; ZIA is not asked.
    pub async fn reading(&self) -> Reading {
        let (ready, figures) = tokio::join!(self.ready(), self.store.figures(self.tenant(), VERIFIED));
        Reading {
            budget: self.budget_left(),
            operations: self.operations(figures),
            index: self.index_reading(),
            store_writable: ready.is_ok(),
        }
    }

    fn budget_left(&self) -> Vec<BudgetLeft> {
        let lines = self.budget().into_iter();
        lines
            .map(|line| BudgetLeft {
                endpoint: line.endpoint,
                per: line.per,
                limit: line.limit,
                remaining: line.remaining,
            })
            .collect()
    }

    /// What the store counts, where it answers.
    fn operations(&self, figures: Result<Figures, StoreError>) -> Option<Operations> {
        let Figures { open, unactivated_since } = figures.ok()?;
        let names = |(action, state, count): (crate::model::Action, crate::model::State, u64)| {
            (action.as_str(), state.as_str(), count)
        };
        let activation_lag = unactivated_since.map_or(Duration::ZERO, |since| self.since(since));
        Some(Operations { open: open.into_iter().map(names).collect(), activation_lag })
    }

    fn index_reading(&self) -> IndexReading {
        let index = self.directory.index_state();
        let age = index.as_of.map(|as_of| self.since(as_of));
        IndexReading { users: index.users as u64, age, complete: index.complete }
    }

    /// The time since then; none where the clock was set back.
    pub(crate) fn since(&self, then: Timestamp) -> Duration {
        Duration::try_from(self.clock.now().duration_since(then)).unwrap_or_default()
    }
}
