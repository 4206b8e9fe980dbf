//! How many connections there may be at once: of all, and of one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::meter;

/// Connections at once; more are closed at once (guardrails F39).
const MAX_CONNECTIONS: usize = 4096;

/// Connections at once from one address (guardrails F39).
const MAX_PER_ADDRESS: usize = 64;

/// Counts the connections that are open.
#[derive(Clone)]
pub(super) struct Crowd {
    all: Arc<Semaphore>,
    each: Each,
    /// Whether one address stands for many clients: a proxy's does.
    behind_proxy: bool,
}

/// Connections by address; a plain mutex, since nothing is awaited under it.
type Each = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A connection's place, until it is dropped.
pub(super) struct Place {
    _one_of_all: OwnedSemaphorePermit,
    _one_of_each: Option<OneOfEach>,
}

struct OneOfEach(Each, IpAddr);

impl Crowd {
    pub(super) fn new(behind_proxy: bool) -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_CONNECTIONS)), each: Each::default(), behind_proxy }
    }

    /// A place for one more connection, if there is one.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Place> {
        let place = self.place(from);
        if place.is_none() {
            meter::http_refused("connections");
        }
        place
    }

    fn place(&self, from: IpAddr) -> Option<Place> {
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let from = network(from);
        // This machine's own clients come from one address too.
        let counts = !self.behind_proxy && !from.is_loopback();
        let one_of_each = if counts { Some(OneOfEach::enter(&self.each, from)?) } else { None };
        Some(Place { _one_of_all: one_of_all, _one_of_each: one_of_each })
    }
}

impl OneOfEach {
    fn enter(each: &Each, from: IpAddr) -> Option<Self> {
        let mut counts = each.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(from).or_default();
        if *count >= MAX_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Self(Arc::clone(each), from))
    }
}

impl Drop for OneOfEach {
    fn drop(&mut self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// What one client has to itself: an IPv4 address, or an IPv6 network of 64 bits.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Crowd, from: &str, count: usize) -> Vec<Option<Place>> {
        (0..count).map(|_| crowd.enter(from.parse().unwrap())).collect()
    }

    #[test]
    fn f39_one_address_has_sixty_four_connections_and_leaves_the_others_theirs() {
        let crowd = Crowd::new(false);
        for from in ["203.0.113.7", "::ffff:203.0.113.8", "2001:db8::1"] {
            let mut places = enter(&crowd, from, 65);
            assert!(places.pop().unwrap().is_none() && places.iter().all(Option::is_some), "{from}");
            assert!(enter(&crowd, "198.51.100.1", 1)[0].is_some());
            places.pop();
            assert!(enter(&crowd, from, 1)[0].is_some(), "one left, one may come");
        }
        assert!(crowd.each.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[test]
    fn f39_the_addresses_of_one_ipv6_network_are_one() {
        let crowd = Crowd::new(false);
        let _places = enter(&crowd, "2001:db8::1", 64);
        assert!(enter(&crowd, "2001:db8::2", 1)[0].is_none());
        assert!(enter(&crowd, "2001:db8:0:1::1", 1)[0].is_some());
    }

    #[test]
    fn f39_this_machine_and_a_proxy_have_all_4096() {
        for (behind_proxy, from) in [(false, "127.0.0.1"), (false, "::1"), (true, "203.0.113.7")] {
            let crowd = Crowd::new(behind_proxy);
            let places = enter(&crowd, from, 4097);
            assert!(places[..4096].iter().all(Option::is_some) && places[4096].is_none(), "{from}");
        }
    }
}
