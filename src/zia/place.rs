//! Which URLs a password may go to.

use url::{Host, Url};

use super::settings::SettingsError;
use crate::model::is_loopback;

/// Reads a base URL and appends the usual path where it has none.
pub(super) fn base(setting: &'static str, text: &str, usual_path: &str) -> Result<Url, SettingsError> {
    let refuse = |expected: &str| SettingsError::new(setting, format!("expected {expected}"));
    // The URL parser repairs odd spellings; what an operator means is never odd.
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['\\', '@', '%']) {
        return Err(refuse("a plain URL without user, blanks, escapes or other than ASCII characters"));
    }
    let mut url = Url::parse(text).map_err(|_| refuse("a URL such as https://host"))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse("a URL that begins with https://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a URL without query and fragment"));
    }
    if !is_allowed_host(&url) {
        return Err(refuse("a full host name, with a letter in its last part and no dot at its end"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(refuse("https; plain http is for loopback only"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() { usual_path } else { &path });
    Ok(url)
}

/// Host and, if unusual, port, in lower case.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Names with a dot inside, and loopback; certificates are not issued for the rest.
fn is_allowed_host(url: &Url) -> bool {
    is_loopback(url)
        || matches!(url.host(), Some(Host::Domain(name)) if name.contains('.')
            && !name.starts_with('.') && !name.ends_with('.')
            && !name.split('.').any(|label| label.starts_with("xn--")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        base("ZIA_BASE_URL", text, "/api/v1").map(|url| url.to_string()).map_err(|e| e.problem)
    }

    #[test]
    fn the_usual_path_is_appended_only_where_there_is_none() {
        for (text, url) in [
            ("https://zsapi.zscaler.net", "https://zsapi.zscaler.net/api/v1"),
            ("https://zsapi.zscaler.net/", "https://zsapi.zscaler.net/api/v1"),
            ("https://ZSAPI.example.net:8443/x/v2/", "https://zsapi.example.net:8443/x/v2"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9/api/v1"),
            ("http://[::1]:9", "http://[::1]:9/api/v1"),
            ("http://localhost:9", "http://localhost:9/api/v1"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn anything_that_may_send_a_password_elsewhere_is_refused() {
        for text in [
            "",
            "zsapi.zscaler.net",
            "http://zsapi.zscaler.net",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://user@evil.example",
            "https://zsapi.zscaler.net@evil.example",
            "https://zsapi.zscaler.net:443@evil.example/",
            "https://zsapi.zscaler.net.",
            "https://zsapi.zscaler.net./api/v1",
            "https://zscaler",
            "https://10.0.0.1",
            "https://[2001:db8::1]",
            "http://10.0.0.1",
            "https://zsapi.zscaler.net?x=1",
            "https://zsapi.zscaler.net#x",
            "https://zsapi.zscaler.net/ ",
            "https://zsapi.\nzscaler.net",
            "https:\\\\evil.example",
            "https://zsapi.zscaler.net\\@evil.example",
            "https://zsapi.zscaler.net%2eevil.example",
            "https://zsäpi.example",
            "https://xn--zspi-5qa.example",
            "ftp://zsapi.zscaler.net",
            "file:///etc/passwd",
            "https://",
            "https://zsapi.zscaler.net:99999",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_the_value() {
        let problem = read("https://admin:canary-password@evil.example").unwrap_err();
        assert!(!problem.contains("canary"), "{problem}");
    }
}
