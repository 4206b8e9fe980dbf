//! `/authenticatedSession`.

use http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Call, Endpoint, Unreadable, write_json};
use crate::zia::api_key::Obfuscated;

const COOKIE: &str = "JSESSIONID";

/// A sign-in with the API key; the password goes in clear text over TLS (zia-facts §1.2).
pub(in crate::zia) struct SignIn<'a> {
    pub(in crate::zia) username: &'a str,
    pub(in crate::zia) password: &'a str,
    pub(in crate::zia) key: Obfuscated,
}

/// What the answer to a sign-in says.
pub(in crate::zia) enum SignedIn {
    /// Signed in; the value of the `Cookie` header to send from now on.
    As(HeaderValue),
    /// Signed in, but without a cookie.
    WithoutCookie,
    /// The answer does not say that anyone signed in.
    No,
}

impl SignIn<'_> {
    pub(in crate::zia) const TARGET: &'static str = "/authenticatedSession";

    pub(in crate::zia) fn body(&self) -> Option<Zeroizing<Vec<u8>>> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            api_key: &'a str,
            username: &'a str,
            password: &'a str,
            timestamp: &'a str,
        }
        write_json(&Body {
            api_key: self.key.key.expose_secret(),
            username: self.username,
            password: self.password,
            timestamp: &self.key.timestamp,
        })
    }

    /// Judges by `authType`, whatever the status (zia-facts §1.2).
    pub(in crate::zia) fn read(headers: &HeaderMap, body: &[u8]) -> SignedIn {
        let fields = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let signed_in = fields.get("authType").and_then(Value::as_str).is_some_and(|t| !t.is_empty());
        match (signed_in, session_cookie(headers)) {
            (false, _) => SignedIn::No,
            (true, Some(cookie)) => SignedIn::As(cookie),
            (true, None) => SignedIn::WithoutCookie,
        }
    }
}

/// The last `JSESSIONID` that was set, as a header that does not print itself.
fn session_cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    let plain = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
    let set = headers.get_all(header::SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = set.filter_map(|cookie| cookie.split(';').next()?.trim().split_once('='));
    let (_, id) = pairs.rev().find(|(name, id)| *name == COOKIE && plain(id))?;
    let mut value = HeaderValue::try_from(format!("{COOKIE}={id}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Ends the session, and thereby publishes what it staged (zia-facts §1.3).
pub(in crate::zia) struct SignOut;

impl Call for SignOut {
    type Output = ();
    const ENDPOINT: Endpoint = Endpoint::SignOut;
    const NEEDS_BODY: bool = false;

    fn target(&self) -> String {
        SignIn::TARGET.to_owned()
    }

    fn decode(&self, _: &[u8]) -> Result<(), Unreadable> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cookies: &[&[u8]], body: &str) -> SignedIn {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::SET_COOKIE, HeaderValue::from_bytes(cookie).unwrap());
        }
        SignIn::read(&headers, body.as_bytes())
    }

    const YES: &str = r#"{"authType":"ADMIN_LOGIN","obfuscateApiKey":true}"#;

    #[test]
    fn a_sign_in_is_judged_by_its_auth_type() {
        let cookie: &[&[u8]] = &[b"JSESSIONID=0123ABCD; Path=/; Secure; HttpOnly"];
        assert!(
            matches!(read(cookie, YES), SignedIn::As(c) if c == "JSESSIONID=0123ABCD" && c.is_sensitive())
        );
        for no in [
            "",
            "{}",
            "[]",
            "<html>",
            r#"{"authType":null}"#,
            r#"{"authType":""}"#,
            r#"{"obfuscateApiKey":true}"#,
        ] {
            assert!(matches!(read(cookie, no), SignedIn::No), "{no:?}");
        }
    }

    #[test]
    fn strange_cookies_are_passed_over_and_the_last_one_counts() {
        let cookies: &[&[u8]] = &[
            b"ZS_LB=1; Path=/",
            b"JSESSIONID=FIRST",
            b"JSESSIONID=",
            b"JSESSIONID",
            b"\xFF=\xFE",
            b"JSESSIONID=A B",
            b" JSESSIONID=LAST ; Secure",
        ];
        assert!(matches!(read(cookies, YES), SignedIn::As(c) if c == "JSESSIONID=LAST"));
        assert!(matches!(read(&[b"X=1"], YES), SignedIn::WithoutCookie));
    }
}
