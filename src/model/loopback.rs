//! Whether an address is this machine's own.

use url::{Host, Url};

/// Whether a URL's host is this machine: `localhost`, or a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let own = |url: &str| is_loopback(&url.parse().expect("a URL"));
        for url in ["http://localhost/", "http://127.0.0.1:9", "http://127.9.9.9/x", "https://[::1]:8443/"] {
            assert!(own(url), "{url}");
        }
        for url in [
            "http://localhost.evil/",
            "http://127.0.0.1.evil/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "data:x",
        ] {
            assert!(!own(url), "{url}");
        }
    }
}
