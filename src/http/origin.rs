//! Which `Host` and `Origin` values are ours.
//!
//! A page that an attacker's name server points at this machine sends that name as `Host`, and any
//! page of a browser sends its own `Origin` (guardrails T16). Both are compared whole.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use url::Url;

use super::{HttpError, HttpOptions};

/// The hosts and origins that are accepted.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    hosts: Vec<Host>,
    origins: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: String,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    name: String,
    port: Port,
}

/// The ports that an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Any,
    Only(u16),
    /// The scheme's own, which may be left out.
    Default(u16),
}

impl Port {
    fn new(port: u16, scheme: &str) -> Self {
        if default_port(scheme) == Some(port) { Self::Default(port) } else { Self::Only(port) }
    }

    fn admits(self, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(own) => port == Some(own),
            Self::Default(own) => port.is_none_or(|port| port == own),
        }
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl Allowed {
    /// The server's own names alone.
    pub(super) fn own(address: SocketAddr, tls: bool) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let mut allowed = Self { hosts: Vec::new(), origins: Vec::new() };
        for name in own_names(address.ip()) {
            allowed.add(scheme, name, address.port());
        }
        allowed
    }

    /// The server's own names, those of its public URL, and those of the settings.
    pub(super) fn new(address: SocketAddr, tls: bool, options: &HttpOptions) -> Result<Self, HttpError> {
        let mut allowed = Self::own(address, tls);
        if let Some(url) = &options.public_url {
            allowed.add_public(url)?;
        }
        for entry in &options.allowed_hosts {
            allowed.hosts.push(host_entry(entry)?);
        }
        for entry in &options.allowed_origins {
            allowed.origins.push(origin_entry(entry)?);
        }
        Ok(allowed)
    }

    fn add(&mut self, scheme: &str, name: String, port: u16) {
        let port = Port::new(port, scheme);
        self.hosts.push(Host { name: name.clone(), port });
        self.origins.push(Origin { scheme: scheme.into(), name, port });
    }

    fn add_public(&mut self, text: &str) -> Result<(), HttpError> {
        let wrong = || HttpError::Setting { setting: "public_url", expected: "a URL such as https://host" };
        let url = Url::parse(text).map_err(|_| wrong())?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong());
        };
        self.add(url.scheme(), host.to_ascii_lowercase(), port);
        Ok(())
    }

    /// Whether a `Host` value is ours.
    pub(super) fn host(&self, value: &str) -> bool {
        authority(value)
            .is_some_and(|(name, port)| self.hosts.iter().any(|h| h.name == name && h.port.admits(port)))
    }

    /// Whether an `Origin` value is ours. `null` never is.
    pub(super) fn origin(&self, value: &str) -> bool {
        let Some((scheme, rest)) = value.split_once("://") else { return false };
        let (scheme, found) = (scheme.to_ascii_lowercase(), authority(rest));
        found.is_some_and(|(name, port)| {
            self.origins.iter().any(|o| o.scheme == scheme && o.name == name && o.port.admits(port))
        })
    }
}

/// Whether a `Host` value is an IP address, which no name server can point elsewhere.
pub(super) fn is_ip(value: &str) -> bool {
    authority(value).is_some_and(|(name, _)| name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
}

/// Whether a `Host` value is a name of this machine's loopback, which browsers trust without TLS.
pub(super) fn is_loopback(value: &str) -> bool {
    authority(value).is_some_and(|(name, _)| {
        name == "localhost"
            || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

fn own_names(ip: IpAddr) -> Vec<String> {
    if ip.is_loopback() || ip.is_unspecified() {
        return ["localhost", "127.0.0.1", "[::1]"].map(String::from).to_vec();
    }
    vec![match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }]
}

fn host_entry(entry: &str) -> Result<Host, HttpError> {
    let expected = "host names, each with or without a port";
    let (name, port) = authority(entry).ok_or(HttpError::Setting { setting: "allowed_hosts", expected })?;
    let port = match port {
        None => Port::Any,
        Some(port @ (80 | 443)) => Port::Default(port),
        Some(port) => Port::Only(port),
    };
    Ok(Host { name, port })
}

fn origin_entry(entry: &str) -> Result<Origin, HttpError> {
    let expected = "origins such as https://host or http://localhost:*";
    let wrong = || HttpError::Setting { setting: "allowed_origins", expected };
    let (scheme, rest) = entry.split_once("://").ok_or_else(wrong)?;
    let scheme = scheme.to_ascii_lowercase();
    let default = default_port(&scheme).ok_or_else(wrong)?;
    if let Some(name) = rest.strip_suffix(":*") {
        let (name, None) = authority(name).ok_or_else(wrong)? else { return Err(wrong()) };
        return Ok(Origin { scheme, name, port: Port::Any });
    }
    let (name, port) = authority(rest).ok_or_else(wrong)?;
    let port = Port::new(port.unwrap_or(default), &scheme);
    Ok(Origin { scheme, name, port })
}

/// Reads `host` or `host:port`: the name in lower case, an IPv6 address in its shortest form.
///
/// Nothing else passes: no user, no path, no blank, no empty or signed port.
fn authority(text: &str) -> Option<(String, Option<u16>)> {
    let (name, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (ip, rest) = inner.split_once(']')?;
            (format!("[{}]", ip.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            (name.to_ascii_lowercase(), rest)
        }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !(name.starts_with('[') || name.chars().all(plain)) {
        return None;
    }
    match rest.strip_prefix(':') {
        None => rest.is_empty().then_some((name, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some((name, Some(digits.parse().ok()?)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, edit: impl FnOnce(&mut HttpOptions)) -> Allowed {
        let mut options = HttpOptions::new("t".into(), "c");
        edit(&mut options);
        Allowed::new(address.parse().unwrap(), false, &options).unwrap()
    }

    #[test]
    fn t16_on_loopback_only_its_names_with_its_port_pass() {
        let own = allowed("127.0.0.1:3000", |_| {});
        for good in ["localhost:3000", "LOCALHOST:3000", "127.0.0.1:3000", "[::1]:3000", "[0:0::1]:3000"] {
            assert!(own.host(good), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "localhost:80",
            "localhost:",
            "localhost:03000x",
            "localhost:+3000",
            "localhost:3000 ",
            "localhost.evil:3000",
            "localhost.:3000",
            "evil@localhost:3000",
            "localhost:3000@evil",
            "127.1:3000",
            "2130706433:3000",
            "0x7f.0.0.1:3000",
            "[::1:3000",
            "::1:3000",
            "[::1%25lo]:3000",
            "[::ffff:127.0.0.1]:3000",
            "localhost:3000:3000",
            "localhost:68536",
            "localhost/:3000",
            "localhost#:3000",
            "evil.example",
        ] {
            assert!(!own.host(bad), "{bad}");
        }
    }

    #[test]
    fn t16_only_the_own_origin_passes_when_none_is_set() {
        let own = allowed("127.0.0.1:3000", |_| {});
        for good in ["http://localhost:3000", "HTTP://127.0.0.1:3000", "http://[::1]:3000"] {
            assert!(own.origin(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://localhost",
            "https://localhost:3000",
            "http://localhost:3001",
            "http://evil.example",
            "http://localhost.evil:3000",
            "http://localhost:3000/",
            "file://",
            "http://evil@localhost:3000",
            "http://localhost:3000, http://evil.example",
            "localhost:3000",
        ] {
            assert!(!own.origin(bad), "{bad}");
        }
    }

    #[test]
    fn settings_and_the_public_url_add_names() {
        let own = allowed("0.0.0.0:8080", |o| {
            o.allowed_hosts = vec!["Inner.example".into(), "other.example:8443".into(), "[fd00::1]".into()];
            o.allowed_origins = vec!["https://app.example".into(), "http://localhost:*".into()];
            o.public_url = Some("https://mcp.example/".into());
        });
        for good in [
            "inner.example",
            "inner.example:1",
            "other.example:8443",
            "[FD00::1]:9",
            "mcp.example",
            "mcp.example:443",
            "localhost:8080",
        ] {
            assert!(own.host(good), "{good}");
        }
        for bad in ["other.example", "other.example:8444", "mcp.example:80", "0.0.0.0:8080"] {
            assert!(!own.host(bad), "{bad}");
        }
        for good in
            ["https://app.example", "https://app.example:443", "http://localhost:6274", "https://mcp.example"]
        {
            assert!(own.origin(good), "{good}");
        }
        for bad in
            ["http://app.example", "https://app.example:8443", "https://localhost:6274", "http://mcp.example"]
        {
            assert!(!own.origin(bad), "{bad}");
        }
    }

    #[test]
    fn entries_that_are_no_host_or_origin_are_refused() {
        let refused = |edit: &dyn Fn(&mut HttpOptions)| {
            let mut options = HttpOptions::new("t".into(), "c");
            edit(&mut options);
            Allowed::new("127.0.0.1:1".parse().unwrap(), false, &options).is_err()
        };
        for bad in ["", "https://host", "host/", "*", "*.example", "a b"] {
            assert!(refused(&|o| o.allowed_hosts = vec![bad.into()]), "{bad}");
        }
        for bad in
            ["", "null", "*", "host", "https://", "ftp://host", "https://host/path", "https://host:443:*"]
        {
            assert!(refused(&|o| o.allowed_origins = vec![bad.into()]), "{bad}");
        }
        assert!(refused(&|o| o.public_url = Some("mcp.example".into())));
    }

    #[test]
    fn loopback_is_told_from_what_looks_like_it() {
        for good in ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "127.8.8.8", "[::1]:3000"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in ["localhost.evil", "127.0.0.1.evil:80", "10.0.0.1:3000", "[fd00::1]", "", "127.1"] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_told_from_names() {
        assert!(is_ip("10.1.2.3:8080") && is_ip("[fd00::1]") && !is_ip("evil.example") && !is_ip("127.1"));
    }
}
