//! A tenant with one user, a network that loses and delays, and another administrator.

use std::collections::VecDeque;

use rand::{RngExt as _, rngs::StdRng};

use crate::lifecycle::reconcile::{Answer, Seen, Wish};

/// How long a request may be on its way, and how long a read may lag, in moments.
pub(super) const DELAY: u64 = 8;

/// How long the server waits for a reply and then looks for an effect: longer than [`DELAY`].
pub(super) const PATIENCE: u64 = 12;

/// The user's fields, as one number; `None` where there is no user.
type User = Option<u32>;

/// The user before, and as the write wants it.
pub(super) const BEFORE: u32 = 1;
pub(super) const WANTED: u32 = 2;

/// What reaches the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Write,
    Activate,
}

/// A request on its way.
#[derive(Clone, Debug)]
struct Flight {
    request: Request,
    arrives: u64,
    /// Where the reply goes, if it is not lost.
    reply_to: Option<u64>,
}

/// What a write of ours did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) at: u64,
}

/// The tenant, its network and what happened in it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) wish: Wish,
    pub(super) now: u64,
    pub(super) user: User,
    pub(super) staged: bool,
    /// What the user was, by moment, newest last.
    history: VecDeque<(u64, User)>,
    flights: Vec<Flight>,
    /// Replies that wait for whoever asked, by number.
    replies: Vec<(u64, Answer)>,
    tickets: u64,
    pub(super) replies_lost: u32,
    /// What our writes changed.
    pub(super) effects: Vec<Effect>,
    /// When our write reached the tenant, whatever it did.
    pub(super) arrivals: Vec<u64>,
    /// When an activation of ours took effect.
    pub(super) activations: Vec<u64>,
    /// When the user was as wanted, at least once since a moment.
    pub(super) wanted_seen: Vec<u64>,
    pub(super) others: u32,
}

impl World {
    pub(super) fn new(wish: Wish) -> Self {
        let user = (wish != Wish::Create).then_some(BEFORE);
        Self {
            wish,
            now: 0,
            user,
            staged: false,
            history: VecDeque::from([(0, user)]),
            flights: Vec::new(),
            replies: Vec::new(),
            tickets: 0,
            replies_lost: 0,
            effects: Vec::new(),
            arrivals: Vec::new(),
            activations: Vec::new(),
            wanted_seen: Vec::new(),
            others: 0,
        }
    }

    /// Moves time on; what is due arrives, in any order.
    pub(super) fn pass(&mut self, rng: &mut StdRng, trouble: bool) {
        self.now += 1;
        let (mut due, later): (Vec<_>, Vec<_>) = self.flights.drain(..).partition(|f| f.arrives <= self.now);
        self.flights = later;
        while !due.is_empty() {
            let flight = due.swap_remove(rng.random_range(0..due.len()));
            self.arrive(&flight, rng, trouble);
        }
        if self.is_as_wanted() {
            self.wanted_seen.push(self.now);
        }
    }

    fn arrive(&mut self, flight: &Flight, rng: &mut StdRng, trouble: bool) {
        let answer = match flight.request {
            // Refused for a reason that has nothing to do with the user, such as a lock.
            _ if trouble && rng.random_bool(0.05) => Answer::Refused,
            Request::Write => self.write(),
            Request::Activate => {
                self.staged = false;
                self.activations.push(self.now);
                Answer::Done
            }
        };
        match flight.reply_to {
            Some(ticket) => self.replies.push((ticket, answer)),
            None => self.replies_lost += 1,
        }
    }

    fn write(&mut self) -> Answer {
        self.arrivals.push(self.now);
        let (after, answer) = match (self.wish, self.user) {
            (Wish::Create, None) => (Some(WANTED), Answer::Done),
            (Wish::Create, Some(_)) => return Answer::Refused,
            (Wish::Replace, Some(_)) => (Some(WANTED), Answer::Done),
            (Wish::Delete, Some(_)) => (None, Answer::Done),
            (Wish::Replace | Wish::Delete, None) => return Answer::NoSuchUser,
        };
        self.put(after);
        self.effects.push(Effect { at: self.now });
        answer
    }

    fn put(&mut self, user: User) {
        self.user = user;
        self.staged = true;
        self.history.push_back((self.now, user));
        if self.is_as_wanted() {
            self.wanted_seen.push(self.now);
        }
    }

    fn is_as_wanted(&self) -> bool {
        self.user == if self.wish == Wish::Delete { None } else { Some(WANTED) }
    }

    /// The other administrator changes, deletes or makes the user; an id never comes back.
    pub(super) fn another_administrator_writes(&mut self, rng: &mut StdRng) {
        let after = match self.user {
            Some(_) => [Some(BEFORE), Some(7), Some(8), None][rng.random_range(0..4)],
            None if self.wish == Wish::Create => [Some(WANTED), Some(9)][rng.random_range(0..2)],
            None => return,
        };
        self.others += 1;
        self.put(after);
    }

    /// Somebody, or the end of a session, publishes what is staged.
    pub(super) fn publish(&mut self) {
        self.staged = false;
    }

    /// Sends a request; the reply is asked for with the ticket.
    pub(super) fn send(&mut self, request: Request, rng: &mut StdRng, trouble: bool) -> u64 {
        self.tickets += 1;
        let ticket = self.tickets;
        let (lost, reply_lost) = (trouble && rng.random_bool(0.2), trouble && rng.random_bool(0.25));
        let delay = if trouble && rng.random_bool(0.4) { rng.random_range(1..DELAY) } else { 1 };
        if lost {
            self.replies_lost += 1;
        } else {
            let reply_to = (!reply_lost).then_some(ticket);
            self.flights.push(Flight { request, arrives: self.now + delay, reply_to });
        }
        ticket
    }

    /// The reply, if it has come.
    pub(super) fn reply(&mut self, ticket: u64) -> Option<Answer> {
        let at = self.replies.iter().position(|(t, _)| *t == ticket)?;
        Some(self.replies.swap_remove(at).1)
    }

    /// Reads the user: live, from some moments ago, or not at all.
    pub(super) fn read(&self, rng: &mut StdRng, trouble: bool) -> Seen {
        if trouble && rng.random_bool(0.2) {
            return Seen::Unsettled;
        }
        let lag = if trouble && rng.random_bool(0.4) { rng.random_range(0..DELAY) } else { 0 };
        let as_of = self.now.saturating_sub(lag);
        let user = self.history.iter().rev().find(|(at, _)| *at <= as_of).and_then(|(_, user)| *user);
        match (self.wish, user) {
            (Wish::Delete, None) | (Wish::Create | Wish::Replace, Some(WANTED)) => Seen::AsWanted,
            (Wish::Create, None) | (Wish::Replace | Wish::Delete, Some(BEFORE)) => Seen::AsBefore,
            _ => Seen::Otherwise,
        }
    }
}
