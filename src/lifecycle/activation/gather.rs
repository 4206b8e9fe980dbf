//! Who activates, and which writes are waited for first.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{
    sync::RwLockWriteGuard,
    time::{Instant, sleep, timeout},
};

use super::{
    Ended, HOLD_AGAIN, OTHERS,
    window::{Allowance, window},
};
use crate::{
    lifecycle::{
        Lifecycle,
        failure::Failure,
        report::{Activation, ActivationState},
    },
    model::{Operation, State, Write},
    store::{LeftWave, UnderWay, Wave},
    zia::{ActivationStatus, Planned},
};

/// How long writes that have left already are waited for, so that the activation covers them too.
const LEAVING: Duration = Duration::from_secs(5);

/// How often another process's wave is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl Lifecycle {
    /// Makes this process the tenant's activator, with an operation that still waits.
    ///
    /// `None` once the operation needs nothing more: another wave covered it.
    pub(super) async fn open_wave(&self, waiting: &Operation) -> Result<Option<(Wave, Operation)>, Failure> {
        loop {
            let Some(operation) = self.unless_closed(waiting).await? else { return Ok(None) };
            let Some(opened) = self.store.open_wave(self.tenant()).await? else {
                sleep(LOOK_AGAIN).await;
                continue;
            };
            let Some(left) = opened.left else { return Ok(Some((opened.wave, operation))) };
            // Its process went away between the answer and the reading.
            if let Err(error) = self.confirm(left).await {
                tracing::warn!(%error, "an activation that was left behind could not be confirmed");
            }
            match self.unless_closed(waiting).await? {
                Some(operation) => return Ok(Some((opened.wave, operation))),
                None => self.end_wave(&opened.wave).await,
            }
            return Ok(None);
        }
    }

    /// Closes what a wave covers whose activation was answered, if the tenant reads `ACTIVE` (K11).
    async fn confirm(&self, left: LeftWave) -> Result<(), Failure> {
        if self.status_at_rest(OTHERS).await? != ActivationStatus::Active {
            return Ok(());
        }
        let ended = Ended { activation: Activation::plain(ActivationState::Active), by: left.by };
        self.close_by(&ended, left.covered).await
    }

    /// An operation as it is now, unless it waits for no activation any more or is another's.
    async fn unless_closed(&self, seen: &Operation) -> Result<Option<Operation>, Failure> {
        let now = self.store.operation(&seen.id).await?.filter(|now| now.epoch == seen.epoch);
        let told = |now: &Operation| now.state == State::NotActive && seen.state != State::NotActive;
        Ok(now.filter(|now| !now.state.is_ended() && !told(now)))
    }

    /// Says that a wave is over; one that cannot be ended lapses.
    pub(super) async fn end_wave(&self, wave: &Wave) {
        if let Err(error) = self.store.end_wave(wave).await {
            tracing::warn!(%error, "the end of an activation could not be recorded");
        }
    }

    /// Waits until writes under way are applied, as long as the hour's activations make that worth it.
    ///
    /// An operation alone, in this and every other process, does not wait.
    pub(super) async fn gather(&self, wave: &Wave) -> Result<(), Failure> {
        let (began, mut held) = (Instant::now(), Instant::now());
        let mut widest = Duration::ZERO;
        loop {
            let starting = self.shared.activator.starting.load(Ordering::SeqCst);
            let count = self.writes_under_way().await?.len() + starting;
            let allowance = self.allowance().await;
            let alone = window(allowance, 0);
            widest = widest.max(window(allowance, count));
            let wait = if count == 0 { alone } else { widest };
            let hurried = allowance.left > 0 && self.shared.activator.hurrying.load(Ordering::SeqCst) > 0;
            let waited = began.elapsed();
            if waited >= wait || hurried {
                return Ok(());
            }
            if held.elapsed() >= HOLD_AGAIN {
                self.store.hold_wave(wave, false).await?;
                held = Instant::now();
            }
            let pause = (waited / 10).clamp(Duration::from_millis(20), LOOK_AGAIN);
            sleep(pause.min(wait - waited)).await;
        }
    }

    /// Lets no write begin any more, and waits for those that have left, as far as that is soon.
    ///
    /// What it does not get hold of costs another activation, and nothing else.
    pub(super) async fn close_gate(&self, wave: &Wave) -> Result<Option<RwLockWriteGuard<'_, ()>>, Failure> {
        let gate = timeout(LEAVING, self.shared.activator.gate.write()).await.ok();
        let own = self.store.presence();
        let anothers = |all: Vec<UnderWay>| all.into_iter().filter(|w| w.owner != own).collect::<Vec<_>>();
        if anothers(self.writes_under_way().await?).is_empty() {
            return Ok(gate);
        }
        self.store.hold_wave(wave, true).await?;
        let end = Instant::now() + LEAVING;
        while anothers(self.writes_under_way().await?).iter().any(|w| w.sending) && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(gate)
    }

    /// Holds a write off while another process's activation is on its way.
    pub(super) async fn wait_for_anothers_activation(&self) -> Result<(), Failure> {
        let end = Instant::now() + OTHERS;
        while self.store.is_wave_closing(self.tenant()).await? && Instant::now() < end {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// What living processes are about to write, or wrote and have not verified.
    pub(super) async fn writes_under_way(&self) -> Result<Vec<UnderWay>, Failure> {
        let mut all = self.store.under_way(self.tenant()).await?;
        let own = self.store.presence();
        if all.iter().any(|w| w.owner != own) {
            let living = self.store.living().await?;
            all.retain(|w| w.owner == own || w.owner.as_ref().is_some_and(|o| living.contains(o)));
        }
        // One that sits a maintenance out, or that stopped half-way, is not about to write.
        all.retain(|w| w.owner != own || (self.runs_here(&w.id) && self.shared.paused.of(&w.id).is_none()));
        Ok(all)
    }

    /// When ZIA takes the next activation, if it takes none now.
    pub(crate) async fn next_activation(&self) -> Option<jiff::Timestamp> {
        let allowance = self.allowance().await;
        let more_in = jiff::SignedDuration::try_from(allowance.more_in).ok()?;
        (allowance.left == 0)
            .then(|| self.clock.now().saturating_add(more_in).unwrap_or(jiff::Timestamp::MAX))
    }

    /// The activations that are left to all processes on the store together.
    pub(super) async fn allowance(&self) -> Allowance {
        let lines = self.zia.budget_of(Planned::Write(Write::Activate)).await;
        let now = self.clock.now();
        let more_in = |at: jiff::Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        let Some(hour) = lines.iter().find(|l| l.per == "hour") else { return Allowance::FULL };
        let (limit, none) = (hour.limit, lines.iter().filter(|l| l.remaining == 0));
        match none.map(|l| more_in(l.resets_at)).max() {
            Some(more_in) => Allowance { left: 0, limit, more_in },
            None => Allowance { left: hour.remaining, limit, more_in: more_in(hour.resets_at) },
        }
    }
}
