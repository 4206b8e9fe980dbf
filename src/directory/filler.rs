//! Filling the index in the background.
//!
//! One process of a store reads a tenant's list page by page, keeps where it is after every page,
//! and begins again when the list is too old. Whoever was not on the list is looked up by id before
//! anyone says that they were deleted: pages shift while users come and go (guardrails F35).

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{
    Directory,
    index::listed,
    pages::{Next, Pages},
    users::PAGE,
};
use crate::{
    model::UserId,
    store::{Filling, StoreError, Turn},
    zia::{Deadline, Error, Kind, Raw, UserQuery, Whose},
};

/// How long one call of the background may take, waiting for its turn included.
const CALL: Duration = Duration::from_secs(120);

/// Users missing from a list who are looked up by id after it, and again every hour: a tenth of what
/// ZIA allows.
const LOOKED_UP: u32 = 100;

/// How long until a tenant that does not page as documented is tried again, and until users who are
/// still missing are looked up.
const LATER: Duration = Duration::from_secs(3600);

/// The longest until a page that failed is asked for again, in ticks.
const RETRY: u32 = 16;

/// How one look at what is due ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// Nothing is due.
    All,
    /// More is due after a while.
    Wait(Duration),
    /// Something failed.
    Failed,
}

/// Why a sweep stopped before its end.
enum Stopped {
    Zia(Error),
    Store(StoreError),
    /// The tenant gives the same page again and again.
    Repeats,
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The background has its share of the calls and waits for its turn.
fn until() -> Deadline {
    Deadline::after(CALL).in_background()
}

/// What the background remembers from one look to the next.
#[derive(Debug, Default)]
struct Memory {
    failures: u32,
    look_up_after: Option<Instant>,
    sweep_after: Option<Instant>,
}

impl Directory {
    /// Fills the index, and keeps it filled, for as long as it is let.
    pub async fn keep_filled(self) {
        let mut memory = Memory::default();
        loop {
            let tick = self.settings.tick;
            let pause = match self.fill(&mut memory).await {
                Done::All => tick,
                Done::Wait(wait) => wait.min(tick),
                Done::Failed => {
                    memory.failures = memory.failures.saturating_add(1);
                    tick * 2_u32.saturating_pow(memory.failures).min(RETRY)
                }
            };
            tokio::time::sleep(pause).await;
            // Another process may have noticed changes.
            self.tell_of_changes().await;
        }
    }

    /// Does what is due now, unless another process does.
    async fn fill(&self, memory: &mut Memory) -> Done {
        let (sweep, missing) = (self.sweep_is_due(memory).await, self.missing(memory).await);
        if !sweep && missing.is_empty() {
            return Done::All;
        }
        match self.store.take_filling(self.zia.tenant()).await {
            Ok(Turn::Ours) => {}
            Ok(Turn::Elsewhere) => return Done::All,
            Err(error) => return failed(&error),
        }
        if !sweep {
            return self.look_for(&missing).await;
        }
        match self.sweep().await {
            Ok(()) => {
                *memory = Memory::default();
                let missing = self.missing(memory).await;
                let done = self.look_for(&missing).await;
                self.tidy().await;
                done
            }
            Err(Stopped::Repeats) => {
                tracing::warn!("ZIA gives the same page of users again: the index stays incomplete");
                memory.sweep_after = Some(Instant::now() + LATER);
                Done::All
            }
            Err(Stopped::Store(error)) => failed(&error),
            Err(Stopped::Zia(error)) => {
                tracing::info!(%error, "the list of users could not be read on; it is tried again");
                match error.kind {
                    Kind::RateLimited { retry_at } => Done::Wait(self.left(retry_at)),
                    _ => Done::Failed,
                }
            }
        }
    }

    fn left(&self, until: Timestamp) -> Duration {
        Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default()
    }

    async fn sweep_is_due(&self, memory: &Memory) -> bool {
        if memory.sweep_after.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        let state = self.index_state().await;
        let every = SignedDuration::try_from(self.settings.sweep).unwrap_or(SignedDuration::MAX);
        let next = state.swept_at.and_then(|at| at.checked_add(every).ok());
        state.filling.is_some() || next.is_none_or(|at| at <= self.clock.now())
    }

    /// Reads the list on from where it is, to its end.
    async fn sweep(&self) -> Result<(), Stopped> {
        let tenant = self.zia.tenant();
        let mut filling = match self.index_state().await.filling {
            Some(filling) => filling,
            None => self.begin_sweep().await?,
        };
        let mut before = HashSet::new();
        loop {
            let began = self.clock.now();
            let rows = self.background_list(filling.page).await?;
            let ids: HashSet<UserId> = rows.iter().map(|row| row.value.id).collect();
            let new = ids.difference(&before).count();
            let mut pages = Pages::resume(
                PAGE,
                usize::try_from(filling.honest).unwrap_or(0),
                usize::try_from(filling.first).unwrap_or(0),
            );
            let next = pages.take(rows.len(), ids.len(), new);
            self.note(rows.iter().map(listed), began, true).await?;
            filling = Filling {
                page: filling.page.saturating_add(1),
                first: pages.first() as u64,
                honest: pages.honest() as u64,
                rows: filling.rows + rows.len() as u64,
                twice: filling.twice + (rows.len() - new) as u64,
                ..filling
            };
            match next {
                Next::More => self.store.save_filling(tenant, &filling).await?,
                Next::End => {
                    self.shared.facts.honest_pages.store(pages.honest(), Ordering::Relaxed);
                    self.store.complete_sweep(tenant, filling.began, Some(&filling)).await?;
                    tracing::info!(
                        users = filling.rows,
                        pages = filling.page - 1,
                        "the list of users was read to its end"
                    );
                    return Ok(());
                }
                Next::Repeats => {
                    self.store.save_filling(tenant, &Filling::new(self.clock.now(), 0)).await?;
                    return Err(Stopped::Repeats);
                }
            }
            before = ids;
            if self.store.take_filling(tenant).await? == Turn::Elsewhere {
                return Err(StoreError::Conflict.into());
            }
            if !(filling.page == 2 && pages.is_short()) {
                tokio::time::sleep(self.settings.pause).await;
            }
        }
    }

    /// Begins a list; groups and departments are read beside it.
    async fn begin_sweep(&self) -> Result<Filling, Stopped> {
        for listed in [self.groups(until()).await, self.departments(until()).await] {
            if let Err(error) = listed {
                tracing::debug!(%error, "a list of names could not be read");
            }
        }
        // Nothing is believed of page lengths: the sweep looks anew, and what it sees counts for all.
        let filling = Filling::new(self.clock.now(), 0);
        self.store.save_filling(self.zia.tenant(), &filling).await?;
        Ok(filling)
    }

    /// The one place where the background lists users: inside its share of the hour's lists.
    async fn background_list(&self, page: u32) -> Result<Vec<Raw<Whose>>, Stopped> {
        let query = UserQuery { page, page_size: PAGE, ..UserQuery::default() };
        self.zia.user_rows(&query, until()).await.map_err(Stopped::Zia)
    }

    /// Some of those whom the last whole list did not show, every hour.
    async fn missing(&self, memory: &mut Memory) -> Vec<UserId> {
        if memory.look_up_after.is_some_and(|at| Instant::now() < at) {
            return Vec::new();
        }
        memory.look_up_after = Some(Instant::now() + LATER);
        let Some(swept) = self.index_state().await.swept_at else { return Vec::new() };
        self.store.unseen_since(self.zia.tenant(), swept, LOOKED_UP).await.unwrap_or_default()
    }

    /// Looks users up by id who seem to be gone.
    async fn look_for(&self, missing: &[UserId]) -> Done {
        for id in missing {
            let began = self.clock.now();
            match self.by_id(*id, until()).await {
                Ok(Some(found)) => self.note_by_id(&found, began).await,
                Ok(None) => self.gone(*id).await,
                Err(error) => {
                    tracing::debug!(%error, "users missing from the list could not be looked up");
                    return if matches!(error.kind, Kind::SignIn(_)) { Done::Failed } else { Done::All };
                }
            }
        }
        Done::All
    }

    /// Forgets what is kept no longer.
    async fn tidy(&self) {
        let days = SignedDuration::from_hours(24 * i64::from(self.settings.changes_days));
        let before = self.clock.now().saturating_sub(days).unwrap_or(Timestamp::MIN);
        if let Err(error) = self.store.prune_changes(self.zia.tenant(), before).await {
            tracing::debug!(%error, "old changes could not be forgotten");
        }
        while self.store.drop_forgotten_indexes().await.unwrap_or(false) {
            tokio::task::yield_now().await;
        }
    }
}

fn failed(error: &StoreError) -> Done {
    tracing::debug!(%error, "the index of users cannot be filled");
    Done::Failed
}
