//! Wrong codes by client address: one address cannot lock many approvers, nor guess for long.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use tokio::time::Instant;

use crate::http::crowd::network;

/// Wrong codes of one address; five lock an approver.
const MOST: usize = 10;

/// The time over which they are counted, as long as an approver stays locked.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// Addresses remembered; beyond these the one that tried longest ago is forgotten.
const ADDRESSES: usize = 4_096;

/// Counts wrong codes; a plain mutex, since nothing is awaited under it.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Vec<Instant>>>);

impl Attempts {
    /// Counts an attempt before its code is looked at.
    ///
    /// # Errors
    /// How long to wait, for an address with too many wrong ones.
    pub(super) fn begin(&self, from: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES && !all.contains_key(&from) {
            forget_one(&mut all, now);
        }
        let times = all.entry(from).or_default();
        times.retain(|at| now.duration_since(*at) < WINDOW);
        if times.len() >= MOST {
            let oldest = times.first().copied().unwrap_or(now);
            return Err(WINDOW.saturating_sub(now.duration_since(oldest)));
        }
        times.push(now);
        Ok(())
    }

    /// Takes back what was counted last: the code was right.
    pub(super) fn was_right(&self, from: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = all.get_mut(&from) {
            times.pop();
            if times.is_empty() {
                all.remove(&from);
            }
        }
    }
}

/// Forgets who is remembered for nothing any more, or else whoever tried longest ago.
fn forget_one(all: &mut HashMap<IpAddr, Vec<Instant>>, now: Instant) {
    all.retain(|_, times| times.last().is_some_and(|at| now.duration_since(*at) < WINDOW));
    if all.len() < ADDRESSES {
        return;
    }
    let oldest = all.iter().min_by_key(|(_, times)| times.last().copied()).map(|(from, _)| *from);
    if let Some(from) = oldest {
        all.remove(&from);
    }
}

/// Whose attempt a request is.
///
/// A header counts only where a proxy stands in front, and then the last hop, which that proxy wrote.
pub(super) fn origin(peer: SocketAddr, headers: &HeaderMap, behind_proxy: bool) -> IpAddr {
    let forwarded = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        let hop = last.rsplit(',').next()?.trim();
        hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|a| a.ip()))
    };
    let seen = if behind_proxy { forwarded() } else { None };
    network(seen.unwrap_or(peer.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0A00_0000 + n).into()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_wrong_codes_stop_an_address_for_the_rest_of_the_window_and_no_other() {
        let attempts = Attempts::default();
        for _ in 0..MOST {
            attempts.begin(ip(1)).unwrap();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(attempts.begin(ip(1)), Err(WINDOW - Duration::from_secs(100)));
        attempts.begin(ip(2)).unwrap();
        tokio::time::advance(WINDOW - Duration::from_secs(100)).await;
        attempts.begin(ip(1)).unwrap();
        assert!(attempts.begin(ip(1)).is_err(), "only the oldest was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn right_codes_do_not_count() {
        let attempts = Attempts::default();
        for _ in 0..5 * MOST {
            attempts.begin(ip(1)).unwrap();
            attempts.was_right(ip(1));
        }
        assert!(attempts.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let attempts = Attempts::default();
        for n in 0..ADDRESSES as u32 + 100 {
            attempts.begin(ip(n)).unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let all = attempts.0.lock().unwrap();
        assert_eq!(all.len(), ADDRESSES);
        assert!(!all.contains_key(&ip(0)) && all.contains_key(&ip(ADDRESSES as u32 + 99)));
    }

    #[test]
    fn a_header_counts_only_behind_a_proxy_and_then_its_last_hop() {
        let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.7".parse().unwrap());
        headers.append("x-forwarded-for", "203.0.113.8, 198.51.100.9".parse().unwrap());
        assert_eq!(origin(peer, &headers, false), peer.ip());
        assert_eq!(origin(peer, &headers, true), "198.51.100.9".parse::<IpAddr>().unwrap());
        for (hop, seen) in [("junk", "192.0.2.1"), ("198.51.100.9:99", "198.51.100.9"), ("", "192.0.2.1")] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", hop.parse().unwrap());
            assert_eq!(origin(peer, &headers, true), seen.parse::<IpAddr>().unwrap(), "{hop}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "2001:db8::7".parse().unwrap());
        assert_eq!(origin(peer, &headers, true), "2001:db8::".parse::<IpAddr>().unwrap());
    }
}
