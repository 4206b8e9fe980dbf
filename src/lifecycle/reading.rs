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
        let figures = self.store.figures(self.tenant(), VERIFIED);
        let (ready, figures, budget, index) =
            tokio::join!(self.ready(), figures, self.budget_left(), self.index_reading());
        Reading { budget, operations: self.operations(figures), index, store_writable: ready.is_ok() }
    }

    async fn budget_left(&self) -> Vec<BudgetLeft> {
        let lines = self.budget().await.into_iter();
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

    async fn index_reading(&self) -> IndexReading {
        let index = self.directory.index_state().await;
        let complete = self.directory.complete_since().await.is_some();
        let age = index.swept_at.map(|swept_at| self.since(swept_at));
        IndexReading { users: index.users, age, complete }
    }

    /// The time since then; none where the clock was set back.
    pub(crate) fn since(&self, then: Timestamp) -> Duration {
        Duration::try_from(self.clock.now().duration_since(then)).unwrap_or_default()
    }
}
