//! Wrong codes by client address: one address cannot lock many approvers, nor guess for long.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
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

/// Counts wrong codes.
#[derive(Debug, Default)]
pub(super) struct Attempts(All);

/// A plain mutex, since nothing is awaited under it.
type All = Arc<Mutex<HashMap<IpAddr, Tries>>>;

#[derive(Debug, Default)]
struct Tries {
    wrong: Vec<Instant>,
    /// Whose codes are being looked at; they count, so that many at once are no way around.
    under_way: usize,
}

/// One attempt; dropped, it leaves nothing behind unless it was wrong.
#[derive(Debug)]
pub(super) struct Attempt(Option<(All, IpAddr)>);

impl Attempts {
    /// Begins an attempt, before its code is looked at; nobody's address counts nothing.
    ///
    /// # Errors
    /// How long to wait, for an address with too many wrong ones.
    pub(super) fn begin(&self, from: Option<IpAddr>) -> Result<Attempt, Duration> {
        let Some(from) = from else { return Ok(Attempt(None)) };
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= ADDRESSES && !all.contains_key(&from) {
            forget_one(&mut all, now);
        }
        let tries = all.entry(from).or_default();
        tries.wrong.retain(|at| now.duration_since(*at) < WINDOW);
        if tries.wrong.len() + tries.under_way >= MOST {
            let oldest = tries.wrong.first().copied();
            return Err(oldest.map_or(Duration::ZERO, |at| WINDOW.saturating_sub(now.duration_since(at))));
        }
        tries.under_way += 1;
        Ok(Attempt(Some((Arc::clone(&self.0), from))))
    }
}

impl Attempt {
    /// Counts it: the code was wrong.
    pub(super) fn was_wrong(self) {
        let Some((all, from)) = &self.0 else { return };
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(*from).or_default().wrong.push(Instant::now());
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some((all, from)) = &self.0 else { return };
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = all.get_mut(from) {
            tries.under_way = tries.under_way.saturating_sub(1);
            if tries.under_way == 0 && tries.wrong.is_empty() {
                all.remove(from);
            }
        }
    }
}

/// Forgets who is remembered for nothing any more, or else whoever tried longest ago.
fn forget_one(all: &mut HashMap<IpAddr, Tries>, now: Instant) {
    let recent = |at: &Instant| now.duration_since(*at) < WINDOW;
    all.retain(|_, tries| tries.under_way > 0 || tries.wrong.last().is_some_and(recent));
    if all.len() < ADDRESSES {
        return;
    }
    let idle = all.iter().filter(|(_, tries)| tries.under_way == 0);
    let oldest = idle.min_by_key(|(_, tries)| tries.wrong.last().copied()).map(|(from, _)| *from);
    if let Some(from) = oldest {
        all.remove(&from);
    }
}

/// Whose attempt a request is.
///
/// A header counts only where a proxy stands in front, and then the last hop, which that proxy wrote.
/// This machine's own clients share one address: it is nobody's, and the lock of each approver is
/// what stops them from guessing.
pub(super) fn origin(peer: SocketAddr, headers: &HeaderMap, behind_proxy: bool) -> Option<IpAddr> {
    let forwarded = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        let hop = last.rsplit(',').next()?.trim();
        hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|a| a.ip()))
    };
    let seen = if behind_proxy { forwarded() } else { None };
    let from = network(seen.unwrap_or(peer.ip()));
    (behind_proxy || !from.is_loopback()).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(0x0A00_0000 + n).into())
    }

    #[tokio::test(start_paused = true)]
    async fn ten_wrong_codes_stop_an_address_for_the_rest_of_the_window_and_no_other() {
        let attempts = Attempts::default();
        for _ in 0..MOST {
            attempts.begin(ip(1)).unwrap().was_wrong();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(attempts.begin(ip(1)).unwrap_err(), WINDOW - Duration::from_secs(100));
        attempts.begin(ip(2)).unwrap().was_wrong();
        tokio::time::advance(WINDOW - Duration::from_secs(100)).await;
        attempts.begin(ip(1)).unwrap().was_wrong();
        assert!(attempts.begin(ip(1)).is_err(), "only the oldest was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_a_wrong_code_does_not_count() {
        let attempts = Attempts::default();
        for _ in 0..5 * MOST {
            attempts.begin(ip(1)).unwrap();
        }
        assert!(attempts.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_no_way_around() {
        let attempts = Attempts::default();
        let at_once: Vec<_> = (0..MOST).map(|_| attempts.begin(ip(1)).unwrap()).collect();
        assert_eq!(attempts.begin(ip(1)).unwrap_err(), Duration::ZERO, "they may all be right yet");
        at_once.into_iter().for_each(Attempt::was_wrong);
        assert_eq!(attempts.begin(ip(1)).unwrap_err(), WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn this_machines_own_clients_share_no_limit() {
        let attempts = Attempts::default();
        for peer in ["127.0.0.1:9", "[::1]:9", "[::ffff:127.0.0.1]:9"] {
            let from = |behind_proxy| origin(peer.parse().unwrap(), &HeaderMap::new(), behind_proxy);
            assert!(from(true).is_some_and(|from| from.is_loopback()), "{peer}");
            for _ in 0..5 * MOST {
                attempts.begin(from(false)).unwrap().was_wrong();
            }
        }
        assert!(attempts.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let attempts = Attempts::default();
        for n in 0..ADDRESSES as u32 + 100 {
            attempts.begin(ip(n)).unwrap().was_wrong();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let all = attempts.0.lock().unwrap();
        assert_eq!(all.len(), ADDRESSES);
        let knows = |n| all.contains_key(&ip(n).unwrap());
        assert!(!knows(0) && knows(ADDRESSES as u32 + 99));
    }

    #[test]
    fn a_header_counts_only_behind_a_proxy_and_then_its_last_hop() {
        let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "203.0.113.7".parse().unwrap());
        headers.append("x-forwarded-for", "203.0.113.8, 198.51.100.9".parse().unwrap());
        assert_eq!(origin(peer, &headers, false), Some(peer.ip()));
        assert_eq!(origin(peer, &headers, true), "198.51.100.9".parse().ok());
        for (hop, seen) in [("junk", "192.0.2.1"), ("198.51.100.9:99", "198.51.100.9"), ("", "192.0.2.1")] {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", hop.parse().unwrap());
            assert_eq!(origin(peer, &headers, true), seen.parse().ok(), "{hop}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "2001:db8::7".parse().unwrap());
        assert_eq!(origin(peer, &headers, true), "2001:db8::".parse().ok());
    }
}
