//! The invariants (guardrails), against what really happened in the world.

use super::{
    server::Record,
    world::{DELAY, World},
};
use crate::{
    lifecycle::reconcile::{Next, Seen, Wish, next},
    model::State,
    store::MAX_SENDS,
};

/// Checks a run that has come to rest.
pub(super) fn check(record: &Record, world: &World) -> Result<(), String> {
    let claims = [sends, intents, truth, activation, rest];
    claims.iter().try_for_each(|claim| claim(record, world))
}

fn holds(condition: bool, broken: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(broken.into()) }
}

/// I2: every send was on record before, and there are three at most.
fn sends(record: &Record, world: &World) -> Result<(), String> {
    let most = usize::try_from(MAX_SENDS).unwrap_or(0);
    holds(record.sends.len() <= most, "I2: sent too often")?;
    holds(record.departures.len() <= record.intents.len(), "I2: sent without a record")?;
    let after = |at: &u64| record.intents.iter().any(|(intent, _)| intent <= at);
    holds(record.departures.iter().all(after), "I2: sent before it was recorded")?;
    // Whoever else made or removed the user may let a write of ours take effect again.
    let once = record.wish == Wish::Replace || world.others > 0 || world.effects.len() <= 1;
    holds(once, "I2: one approval, two effects")
}

/// I3: what was read last before a send was the user as approved.
fn intents(record: &Record, _: &World) -> Result<(), String> {
    holds(record.intents.iter().all(|(_, seen)| *seen == Seen::AsBefore), "I3: sent on another user")
}

/// I4, I10: success is claimed of what was so, and "nothing was done" only where that is true.
fn truth(record: &Record, world: &World) -> Result<(), String> {
    let acted = !world.effects.is_empty();
    match record.state {
        State::Done => {
            let since = record.intents.first().map_or(0, |(at, _)| at.saturating_sub(DELAY));
            let so = world.wanted_seen.iter().any(|at| *at >= since);
            holds(so && !record.intents.is_empty(), "I4: done, and it never was")
        }
        State::Changed | State::Expired => holds(!acted, "I10: nothing applied, and something done"),
        State::AlreadyDone => holds(!acted, "I10: absent already, and deleted by us"),
        // Another administrator may have undone ours before it was read: both are true then.
        State::Failed => holds(!acted || world.others > 0, "I10: failed, and done"),
        other => Err(format!("I11: {other:?} is no end")),
    }
}

/// I5: `done` rests on an activation of ours after our last write, and on `ACTIVE` read after it.
fn activation(record: &Record, world: &World) -> Result<(), String> {
    if record.state != State::Done {
        return Ok(());
    }
    let read = record.active_read.ok_or("I5: done without ACTIVE read")?;
    // Another administrator may have made what ours, still on its way, would have.
    let adopted = |at: &u64| world.others > 0 && record.verified_at.is_some_and(|verified| *at > verified);
    let ours = world.effects.iter().map(|e| e.at).filter(|at| *at <= read && !adopted(at));
    let last = ours.max().unwrap_or(0);
    let covered = world.activations.iter().any(|at| *at >= last && *at <= read);
    holds(covered, "I5: done without an activation after the last write")
}

/// I11: nothing is left half-way.
fn rest(record: &Record, _: &World) -> Result<(), String> {
    holds(next(record.state) == Next::Rest, "I11: still under way")
}
