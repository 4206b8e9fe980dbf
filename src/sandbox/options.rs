//! What a sandbox tenant is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SandboxClock;

/// How a sandbox tenant is set up; every field has a default.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// The loopback address to serve on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many users to seed; the awkward ones are there even if this is smaller.
    pub users: usize,
    /// What the users are derived from: the same seed makes the same tenant.
    pub seed: u64,
    /// The time of day for sessions, limits and timestamps.
    pub clock: SandboxClock,
    /// How far the documented limits are kept (zia-facts §5).
    pub limits: LimitPolicy,
    /// How long a write is held before the edit lock is answered: 30 s (zia-facts §4).
    pub edit_lock_hold: Duration,
    /// How long a session lives without a call: 5 minutes (zia-facts §1.3).
    pub session_idle: Duration,
    /// What the token reply says in `expires_in`; the documented default is an hour (zia-facts §2).
    pub token_lifetime: Duration,
    /// The public key (PEM, SPKI or PKCS#1, RSA of 2048 bits or more) that proves a `private_key_jwt`.
    pub client_key: Option<String>,
    /// The largest page of `GET /users/references`: 100 in the docs, 1000 in an SDK (zia-facts §3.2).
    pub references_page_max: usize,
    /// Whether the session cookie says `Secure`, as the real one does; some jars then keep it off plain HTTP.
    pub secure_cookie: bool,
    /// Derives the credentials from a number instead of drawing them at random.
    pub secrets_seed: Option<u64>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            users: 1000,
            seed: 1,
            clock: SandboxClock::system(),
            limits: LimitPolicy::Documented,
            edit_lock_hold: Duration::from_secs(30),
            session_idle: Duration::from_secs(5 * 60),
            token_lifetime: Duration::from_secs(60 * 60),
            client_key: None,
            references_page_max: 100,
            secure_cookie: true,
            secrets_seed: None,
        }
    }
}

/// How far the documented limits are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitPolicy {
    /// As documented.
    Documented,
    /// Each figure of the table multiplied.
    Times(u32),
    /// No limit at all.
    Off,
}
