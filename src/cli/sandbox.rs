//! `zia-mcp sandbox`

use std::net::SocketAddr;

use clap::Args;

use super::{Exit, General, output::line, serve::shutdown_signal};
use crate::sandbox::{SandboxOptions, SandboxTenant};

#[derive(Debug, Args)]
pub(super) struct Sandbox {
    /// The loopback address to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Users to seed
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    users: usize,
    /// The same seed makes the same tenant
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

impl Sandbox {
    /// Serves the sandbox tenant until a signal; prints its settings as a shell can source them.
    pub(super) async fn run(self, _: &General) -> Result<(), Exit> {
        if !self.listen.ip().is_loopback() {
            return Err(Exit::usage("the sandbox tenant listens on loopback only: --listen 127.0.0.1:0"));
        }
        let options = SandboxOptions {
            listen: self.listen,
            users: self.users,
            seed: self.seed,
            ..SandboxOptions::default()
        };
        let tenant = SandboxTenant::start(options)
            .await
            .map_err(|e| Exit::unavailable(format!("{}: {e}", self.listen)))?;
        line(format!("sandbox tenant at {}", tenant.base_url()))?;
        let settings = tenant.settings();
        for (name, value) in [
            ("ZIA_BASE_URL", &settings.base_url),
            ("ZIA_USERNAME", &settings.username),
            ("ZIA_PASSWORD", &settings.password),
            ("ZIA_API_KEY", &settings.api_key),
            ("ZSCALER_TOKEN_URL", &settings.token_url),
            ("ZSCALER_CLIENT_ID", &settings.client_id),
            ("ZSCALER_CLIENT_SECRET", &settings.client_secret),
        ] {
            line(format!("{name}={}", quoted(value)))?;
        }
        shutdown_signal().await;
        tenant.shutdown().await;
        Ok(())
    }
}

/// A value that a shell reads back as it is; plain where that is safe.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if value.chars().all(plain) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_shell() {
        assert_eq!(quoted("http://127.0.0.1:80/x"), "http://127.0.0.1:80/x");
        assert_eq!(quoted("a!b'c"), r"'a!b'\''c'");
    }
}
