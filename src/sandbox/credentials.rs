//! The names and secrets that open the sandbox tenant.

use std::fmt;
use std::net::SocketAddr;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// The domain of the tenant's administrators and most of its users.
pub(super) const DOMAIN: &str = "example.com";

const LETTERS_AND_DIGITS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// What a client needs to sign in to the sandbox tenant, either way.
#[derive(Clone, PartialEq, Eq)]
pub struct SandboxCredentials {
    /// `http://127.0.0.1:PORT`; `/api/v1` (API key) or `/zia/api/v1` (OneAPI) follows.
    pub base_url: String,
    /// The administrator's e-mail address, who is also a seeded user.
    pub username: String,
    /// The administrator's password.
    pub password: String,
    /// The tenant's API key, 12 characters.
    pub api_key: String,
    /// Where OneAPI tokens are asked for.
    pub token_url: String,
    /// The OneAPI client's id.
    pub client_id: String,
    /// The OneAPI client's secret.
    pub client_secret: String,
}

impl SandboxCredentials {
    pub(super) fn draw(address: SocketAddr, seed: Option<u64>) -> Self {
        let mut random = seed.map_or_else(rand::make_rng, StdRng::seed_from_u64);
        let base_url = format!("http://{address}");
        Self {
            token_url: format!("{base_url}/oauth2/v1/token"),
            base_url,
            username: format!("api.admin@{DOMAIN}"),
            password: format!("{}-7aZ!", text(&mut random, 16)),
            api_key: text(&mut random, 12),
            client_id: text(&mut random, 13).to_lowercase(),
            client_secret: text(&mut random, 40),
        }
    }
}

impl fmt::Debug for SandboxCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxCredentials")
            .field("base_url", &self.base_url)
            .field("username", &self.username)
            .field("token_url", &self.token_url)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// `length` random letters and digits.
pub(super) fn text(random: &mut StdRng, length: usize) -> String {
    let draw = |_| {
        let at = random.random_range(0..LETTERS_AND_DIGITS.len());
        char::from(LETTERS_AND_DIGITS.get(at).copied().unwrap_or(b'x'))
    };
    (0..length).map(draw).collect()
}
