//! Where a PostgreSQL server is.

use std::{fmt, path::PathBuf, str::FromStr};

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::model::is_loopback;

/// What an address may say besides user, host and database, as libpq names it.
const KNOWN: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// The address of a PostgreSQL database, with the password that may be in it.
#[derive(Clone)]
pub struct DatabaseUrl {
    url: SecretString,
    shown: String,
    files: Vec<(&'static str, PathBuf)>,
}

/// Where the server is, as far as the way there needs protection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Socket,
    Loopback,
    Elsewhere,
}

impl FromStr for DatabaseUrl {
    type Err = &'static str;

    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.
    ///
    /// To another machine the server's certificate and name are checked, unless `sslmode` asks for
    /// less; without TLS nothing goes there.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut url: Url =
            text.trim().parse().map_err(|_| "expected postgres://USER:PASSWORD@HOST/DATABASE")?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("expected postgres://USER:PASSWORD@HOST/DATABASE");
        }
        if url.query_pairs().any(|(key, _)| !KNOWN.contains(&&*key)) {
            return Err(
                "has a parameter that is not known; take sslmode, sslrootcert and others as libpq has them",
            );
        }
        let place = place(&url)?;
        // The last one counts, as in the database library.
        let mode = url.query_pairs().filter(|(key, _)| key == "sslmode").last();
        let mode = mode.map(|(_, mode)| mode.into_owned());
        match (mode.as_deref(), place) {
            (None, Place::Socket) => drop(url.query_pairs_mut().append_pair("sslmode", "disable")),
            (None, Place::Loopback) => drop(url.query_pairs_mut().append_pair("sslmode", "prefer")),
            (None, Place::Elsewhere) => drop(url.query_pairs_mut().append_pair("sslmode", "verify-full")),
            (Some("disable" | "allow" | "prefer"), Place::Elsewhere) => {
                return Err("goes to another machine, so sslmode must be verify-full, verify-ca or require");
            }
            (Some("require"), _) if has(&url, "sslrootcert") => {
                // libpq checks the certificate then; the database library would not.
                url.query_pairs_mut().append_pair("sslmode", "verify-ca");
            }
            (Some("disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full"), _) => {}
            (Some(_), _) => return Err("sslmode is none of libpq's"),
        }
        if !has(&url, "application_name") {
            url.query_pairs_mut().append_pair("application_name", "zia-mcp");
        }
        let (shown, files) = (shown(&url), files(&url));
        if let Some(address) = bare_ipv6(&url) {
            // In brackets it is neither resolved nor found in a certificate.
            url.query_pairs_mut().append_pair("host", &address);
        }
        Ok(Self { url: String::from(url).into(), shown, files })
    }
}

impl DatabaseUrl {
    /// The whole address.
    pub(super) fn expose(&self) -> &str {
        self.url.expose_secret()
    }

    /// The certificates and the key that it names, each with the parameter's name.
    pub(super) fn files(&self) -> &[(&'static str, PathBuf)] {
        &self.files
    }
}

fn has(url: &Url, name: &str) -> bool {
    url.query_pairs().any(|(key, _)| key == name)
}

/// The IPv6 address in the place of the host, without its brackets, where no parameter names another.
fn bare_ipv6(url: &Url) -> Option<String> {
    let address = url.host_str()?.strip_prefix('[')?.strip_suffix(']')?;
    (!has(url, "host") && !has(url, "hostaddr")).then(|| address.to_owned())
}

fn files(url: &Url) -> Vec<(&'static str, PathBuf)> {
    let of = |name: &'static str| {
        let (_, value) = url.query_pairs().filter(|(key, _)| key == name).last()?;
        // What is given as text is no path.
        (!value.trim_start().starts_with("-----BEGIN")).then(|| (name, PathBuf::from(value.into_owned())))
    };
    ["sslrootcert", "sslcert", "sslkey"].into_iter().filter_map(of).collect()
}

fn place(url: &Url) -> Result<Place, &'static str> {
    let named = url.query_pairs().filter(|(key, _)| key == "host" || key == "hostaddr").last();
    let host = match (named, url.host_str()) {
        (Some((_, host)), _) => host.into_owned(),
        (None, Some(host)) if !host.is_empty() => host.to_owned(),
        (None, _) => return Err("names no host"),
    };
    if host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f") {
        return Ok(Place::Socket);
    }
    let bare = host.trim_matches(['[', ']']);
    let as_url = if bare.contains(':') { format!("http://[{bare}]") } else { format!("http://{bare}") };
    let own = as_url.parse().is_ok_and(|url| is_loopback(&url));
    Ok(if own { Place::Loopback } else { Place::Elsewhere })
}

/// Host and database, for people.
fn shown(url: &Url) -> String {
    let of = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let host = of("host").or_else(|| url.host_str().map(str::to_owned)).unwrap_or_default();
    let database = of("dbname").unwrap_or_else(|| url.path().trim_start_matches('/').to_owned());
    format!("the PostgreSQL database {database} on {host}").replace(|c: char| c.is_control(), "?")
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> Result<String, &'static str> {
        let read: DatabaseUrl = text.parse()?;
        let url: Url = read.expose().parse().unwrap();
        let mode = url.query_pairs().filter(|(key, _)| key == "sslmode").last().unwrap().1.into_owned();
        Ok(mode)
    }

    #[test]
    fn another_machine_is_reached_by_checked_tls_only() {
        assert_eq!(mode("postgres://u:p@db.example.com/zia").unwrap(), "verify-full");
        assert_eq!(mode("postgresql://u@db.example.com/zia?sslmode=verify-ca").unwrap(), "verify-ca");
        assert_eq!(mode("postgres://u@10.0.0.1/zia?sslmode=require").unwrap(), "require");
        for weak in ["disable", "allow", "prefer"] {
            assert!(mode(&format!("postgres://u@db.example.com/zia?sslmode={weak}")).is_err(), "{weak}");
            assert!(mode(&format!("postgres://u@localhost/zia?host=10.0.0.1&sslmode={weak}")).is_err());
        }
    }

    #[test]
    fn a_named_authority_is_asked_as_libpq_does() {
        let with =
            |mode_of| mode(&format!("postgres://u@h/d?sslrootcert=/ca.pem&sslmode={mode_of}")).unwrap();
        assert_eq!(with("require"), "verify-ca");
        assert_eq!(with("verify-full"), "verify-full");
        let read: DatabaseUrl =
            "postgres://u@h/d?sslrootcert=/ca.pem&sslkey=-----BEGIN x-----".parse().unwrap();
        assert_eq!(read.files(), [("sslrootcert", PathBuf::from("/ca.pem"))]);
    }

    #[test]
    fn of_two_modes_the_one_that_counts_is_looked_at() {
        let weak = "postgres://u@db.example.com/zia?sslmode=verify-full&sslmode=disable";
        assert!(mode(weak).is_err());
    }

    #[test]
    fn an_ipv6_address_goes_on_without_its_brackets() {
        let host = |text: &str| {
            let read: DatabaseUrl = text.parse().unwrap();
            let url: Url = read.expose().parse().unwrap();
            url.query_pairs().filter(|(key, _)| key == "host").last().map(|(_, host)| host.into_owned())
        };
        assert_eq!(host("postgres://u@[2001:db8::1]:5433/zia").as_deref(), Some("2001:db8::1"));
        assert_eq!(host("postgres://u@[::1]/zia?host=/run/postgresql").as_deref(), Some("/run/postgresql"));
        assert_eq!(host("postgres://u@db.example.com/zia"), None);
    }

    #[test]
    fn this_machine_is_reached_as_it_comes() {
        assert_eq!(mode("postgres://u@localhost/zia").unwrap(), "prefer");
        assert_eq!(mode("postgres://u@[::1]:5433/zia").unwrap(), "prefer");
        assert_eq!(mode("postgres://u@%2Frun%2Fpostgresql/zia").unwrap(), "disable");
        assert_eq!(mode("postgres:///zia?host=/run/postgresql").unwrap(), "disable");
    }

    #[test]
    fn what_is_no_address_is_refused_and_never_repeated() {
        for text in [
            "mysql://u:canary@h/d",
            "canary",
            "postgres:///canary",
            "postgres://h/d?pasword=canary",
            "postgres://localhost/d?sslmode=canary",
        ] {
            let why = text.parse::<DatabaseUrl>().err().unwrap();
            assert!(!why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn no_form_of_it_shows_the_password() {
        let read: DatabaseUrl =
            "postgres://u:canary@db.example.com:5433/zia?password=canary".parse().unwrap();
        assert_eq!(read.to_string(), "the PostgreSQL database zia on db.example.com");
        assert!(!format!("{read:?}").contains("canary"));
    }
}
