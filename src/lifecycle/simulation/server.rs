//! A server that carries the operation on, one step at a time, by the real rules.

use rand::{RngExt as _, rngs::StdRng};

use super::world::{PATIENCE, Request, World};
use crate::{
    lifecycle::{
        operation::may_follow,
        reconcile::{Answer, Journal, Next, Seen, Verdict, Wish, after_answer, conclude, is_final, next},
    },
    model::State,
    store::{MAX_SENDS, SendOutcome},
};

/// How long a lease holds, and how long one has to hold before a send, in moments.
const LEASE: u64 = 3 * PATIENCE;
const NEEDED: u64 = PATIENCE;

/// How long after the approval the operation may be carried out.
const EXECUTION: u64 = 200;

/// What the store holds.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) wish: Wish,
    pub(super) state: State,
    pub(super) sends: Vec<Option<SendOutcome>>,
    epoch: u32,
    /// Steps that were refused to a server that had been overtaken.
    pub(super) fenced: u32,
    /// When each send was put on record, and what the last reading before had shown.
    pub(super) intents: Vec<(u64, Seen)>,
    /// When bytes left.
    pub(super) departures: Vec<u64>,
    pub(super) activations: Vec<u64>,
    /// When `ACTIVE` was read, and what was concluded from it.
    pub(super) active_read: Option<u64>,
    pub(super) verified_at: Option<u64>,
}

impl Record {
    pub(super) fn approved(wish: Wish) -> Self {
        Self {
            wish,
            state: State::Approved,
            sends: Vec::new(),
            epoch: 0,
            fenced: 0,
            intents: Vec::new(),
            departures: Vec::new(),
            activations: Vec::new(),
            active_read: None,
            verified_at: None,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        next(self.state) != Next::Rest
    }

    /// Moves on, as the store does: by the state machine, and by the owner only.
    fn advance(&mut self, epoch: u32, to: State) -> bool {
        if epoch != self.epoch {
            self.fenced += 1;
            return false;
        }
        assert!(may_follow(self.state, to), "{:?} to {to:?}", self.state);
        self.state = to;
        true
    }
}

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// About to do what the record asks for.
    Start,
    /// Knows without reading that nothing was done, and compares the user a last time.
    Unsent,
    /// Has compared the user a last time.
    Compared(Seen),
    /// Has put a send on record.
    Recorded(usize),
    /// Waits for a reply.
    Sent {
        attempt: usize,
        ticket: u64,
        since: u64,
    },
    /// Has recorded what became of the send.
    Ended {
        attempt: usize,
        answer: Answer,
    },
    /// Looks for the effect.
    Looking {
        since: u64,
    },
    /// Has put an activation on record.
    Activating,
    /// Waits for the activation's reply.
    Activated {
        ticket: u64,
        since: u64,
    },
    /// Reads the status after an activation that was answered.
    Watching {
        since: u64,
    },
    Over,
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    epoch: u32,
    lease_until: u64,
    at: At,
}

impl Server {
    pub(super) fn claiming(record: &mut Record, world: &World) -> Self {
        record.epoch += 1;
        Self { epoch: record.epoch, lease_until: world.now + LEASE, at: At::Start }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    pub(super) fn has_lapsed(&self, world: &World) -> bool {
        world.now > self.lease_until
    }

    /// Does one thing; between any two, it may be killed or stand still.
    pub(super) fn step(&mut self, record: &mut Record, world: &mut World, rng: &mut StdRng, trouble: bool) {
        self.at = match self.at {
            At::Start => self.start(record, world),
            At::Unsent => self.compare(record, world, rng, trouble),
            At::Compared(seen) => self.record_send(record, world, seen),
            At::Recorded(attempt) => self.send(record, world, rng, trouble, attempt),
            At::Sent { attempt, ticket, since } => wait(record, world, attempt, ticket, since, self.at),
            At::Ended { attempt, answer } => self.conclude_answer(record, attempt, answer),
            At::Looking { since } => self.look(record, world, rng, trouble, since),
            At::Activating => {
                let ticket = world.send(Request::Activate, rng, trouble);
                At::Activated { ticket, since: world.now }
            }
            At::Activated { ticket, since } => self.activated(record, world, ticket, since),
            At::Watching { since } => self.watch(record, world, rng, since),
            At::Over => At::Over,
        };
        if self.at == At::Start && record.state == State::Approved {
            // The last comparison before the first send.
            self.at = self.compare(record, world, rng, trouble);
        }
    }

    fn start(&mut self, record: &mut Record, world: &World) -> At {
        match next(record.state) {
            Next::Rest => At::Over,
            Next::Send => At::Start,
            Next::FindOut => self.find_out(record, world),
            Next::Activate => self.record_activation(record, world),
        }
    }

    fn compare(&mut self, record: &mut Record, world: &World, rng: &mut StdRng, trouble: bool) -> At {
        if world.now > EXECUTION {
            return self.advance(record, State::Expired, At::Over);
        }
        match (record.wish, world.read(rng, trouble)) {
            // A create is compared by ZIA itself, which refuses an address that is taken.
            (Wish::Create, _) => At::Compared(Seen::AsBefore),
            (_, Seen::AsBefore) => At::Compared(Seen::AsBefore),
            (_, Seen::Unsettled) => self.advance(record, State::Failed, At::Over),
            (Wish::Delete, Seen::AsWanted) => self.advance(record, State::AlreadyDone, At::Over),
            (_, Seen::AsWanted | Seen::Otherwise) => self.advance(record, State::Changed, At::Over),
        }
    }

    fn record_send(&mut self, record: &mut Record, world: &World, seen: Seen) -> At {
        // The store's own rule: approved and unsent, or not known to have been done.
        let first = record.sends.is_empty();
        let allowed = match record.state {
            State::Approved => first,
            State::Sending => record.sends.last().is_some_and(Option::is_some),
            State::Unknown => !first && !record.sends.contains(&Some(SendOutcome::Done)),
            _ => false,
        };
        let sent = i64::try_from(record.sends.len()).unwrap_or(i64::MAX);
        if self.epoch == record.epoch && (!allowed || sent >= MAX_SENDS) {
            return At::Over;
        }
        let moved = self.advance(record, State::Sending, At::Recorded(record.sends.len()));
        if moved != At::Over {
            self.lease_until = world.now + LEASE;
            record.sends.push(None);
            record.intents.push((world.now, seen));
        }
        moved
    }

    /// Sends, unless the lease has too little left (guardrails F32).
    fn send(
        &mut self,
        record: &mut Record,
        world: &mut World,
        rng: &mut StdRng,
        trouble: bool,
        attempt: usize,
    ) -> At {
        if world.now + NEEDED > self.lease_until {
            record.end_send(attempt, SendOutcome::NotSent);
            return At::Ended { attempt, answer: Answer::Refused };
        }
        record.departures.push(world.now);
        At::Sent { attempt, ticket: world.send(Request::Write, rng, trouble), since: world.now }
    }

    fn conclude_answer(&mut self, record: &mut Record, attempt: usize, answer: Answer) -> At {
        let nth = i64::try_from(attempt + 1).unwrap_or(i64::MAX);
        self.advance(record, after_answer(record.wish, nth, answer), At::Start)
    }

    fn find_out(&mut self, record: &mut Record, world: &World) -> At {
        if record.state != State::Sending {
            return At::Looking { since: world.now };
        }
        let journal = record.journal(world.now);
        if journal.may_send_again_unread() {
            return At::Unsent;
        }
        if journal.did_nothing() {
            return self.advance(record, State::Failed, At::Over);
        }
        self.advance(record, State::Unknown, At::Looking { since: world.now })
    }

    fn look(
        &mut self,
        record: &mut Record,
        world: &World,
        rng: &mut StdRng,
        trouble: bool,
        since: u64,
    ) -> At {
        let seen = world.read(rng, trouble);
        if !is_final(seen) && world.now < since + PATIENCE {
            return At::Looking { since };
        }
        match conclude(&record.journal(world.now), seen) {
            Verdict::Applied => {
                record.verified_at = Some(world.now);
                self.advance(record, State::Verified, At::Start)
            }
            Verdict::Resend => self.advance(record, State::Unknown, At::Compared(seen)),
            Verdict::NotApplied | Verdict::Overtaken => self.advance(record, State::Failed, At::Over),
            Verdict::Unknown => self.advance(record, State::Unknown, At::Start),
        }
    }

    fn record_activation(&mut self, record: &mut Record, world: &World) -> At {
        self.lease_until = world.now + LEASE;
        let moved = self.advance(record, State::Activating, At::Activating);
        if moved != At::Over {
            record.activations.push(world.now);
        }
        moved
    }

    fn activated(&mut self, record: &mut Record, world: &mut World, ticket: u64, since: u64) -> At {
        match world.reply(ticket) {
            Some(Answer::Done) => At::Watching { since: world.now },
            Some(_) => self.advance(record, State::NotActive, At::Start),
            None if world.now < since + PATIENCE => At::Activated { ticket, since },
            // Whether it was sent is not known: it is sent again.
            None => self.advance(record, State::NotActive, At::Start),
        }
    }

    fn watch(&mut self, record: &mut Record, world: &World, rng: &mut StdRng, since: u64) -> At {
        if !world.staged && rng.random_bool(0.7) {
            record.active_read = Some(world.now);
            return self.advance(record, State::Done, At::Over);
        }
        if world.now < since + PATIENCE { At::Watching { since } } else { At::Start }
    }

    fn advance(&self, record: &mut Record, to: State, then: At) -> At {
        if record.advance(self.epoch, to) { then } else { At::Over }
    }
}

impl Record {
    fn journal(&self, now: u64) -> Journal {
        Journal { wish: self.wish, sends: self.sends.clone(), in_time: now <= EXECUTION }
    }

    /// What became of a send is recorded by whoever made it, once.
    fn end_send(&mut self, attempt: usize, outcome: SendOutcome) {
        if let Some(open @ None) = self.sends.get_mut(attempt) {
            *open = Some(outcome);
        }
    }
}

fn wait(record: &mut Record, world: &mut World, attempt: usize, ticket: u64, since: u64, here: At) -> At {
    let answer = match world.reply(ticket) {
        Some(answer) => answer,
        None if world.now < since + PATIENCE => return here,
        None => Answer::Lost,
    };
    record.end_send(attempt, answer.outcome());
    At::Ended { attempt, answer }
}
