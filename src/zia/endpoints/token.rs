//! The OneAPI token endpoint.

use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Unreadable, escape, json};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What proves the client.
pub(in crate::zia) enum Proof<'a> {
    Secret(&'a SecretString),
    Assertion(SecretString),
}

/// A request for a token, as a form (zia-facts §2).
pub(in crate::zia) struct TokenRequest<'a> {
    pub(in crate::zia) client_id: &'a str,
    pub(in crate::zia) proof: Proof<'a>,
    pub(in crate::zia) audience: Option<&'a str>,
}

impl TokenRequest<'_> {
    pub(in crate::zia) fn body(&self) -> Zeroizing<Vec<u8>> {
        let id = escape(self.client_id);
        let mut form = Zeroizing::new(format!("grant_type=client_credentials&client_id={id}"));
        match &self.proof {
            Proof::Secret(secret) => {
                form.push_str(&format!("&client_secret={}", escape(secret.expose_secret())));
            }
            Proof::Assertion(jwt) => {
                form.push_str(&format!("&client_assertion_type={}", escape(JWT_BEARER)));
                form.push_str(&format!("&client_assertion={}", escape(jwt.expose_secret())));
            }
        }
        if let Some(audience) = self.audience {
            form.push_str(&format!("&audience={}", escape(audience)));
        }
        Zeroizing::new(form.as_bytes().to_vec())
    }
}

/// A token and how long it lasts.
pub(in crate::zia) struct Token {
    /// The value of the `Authorization` header.
    pub(in crate::zia) header: HeaderValue,
    pub(in crate::zia) lasts: Duration,
}

impl Token {
    /// What a token lasts that does not say so; an administrator may set as little (zia-facts §2).
    const UNSAID: u64 = 60;

    pub(in crate::zia) fn read(body: &[u8]) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Body {
            access_token: String,
            #[serde(default)]
            expires_in: Value,
        }
        let body: Body = json(body)?;
        let token = Zeroizing::new(body.access_token);
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Unreadable::Shape);
        }
        let text = Zeroizing::new(format!("Bearer {}", *token));
        let mut header = HeaderValue::try_from(text.as_str()).map_err(|_| Unreadable::Shape)?;
        header.set_sensitive(true);
        let said = match &body.expires_in {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        Ok(Self { header, lasts: Duration::from_secs(said.unwrap_or(Self::UNSAID)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_escaped_and_the_audience_optional() {
        let secret = SecretString::from("a+b c&d=é");
        let form = |audience| {
            let request = TokenRequest { client_id: "id 1", proof: Proof::Secret(&secret), audience };
            String::from_utf8(request.body().to_vec()).unwrap()
        };
        let bare = "grant_type=client_credentials&client_id=id%201&client_secret=a%2Bb%20c%26d%3D%C3%A9";
        assert_eq!(form(None), bare);
        assert_eq!(
            form(Some("https://api.zscaler.com")),
            format!("{bare}&audience=https%3A%2F%2Fapi.zscaler.com")
        );
    }

    #[test]
    fn a_token_lasts_as_long_as_it_says() {
        let lasts = |expires: &str| {
            let body = format!(r#"{{"access_token":"t","token_type":"Bearer","expires_in":{expires}}}"#);
            Token::read(body.as_bytes()).map(|t| t.lasts.as_secs())
        };
        assert_eq!(lasts("83999"), Ok(83999));
        assert_eq!(lasts("\"60\""), Ok(60));
        assert_eq!(lasts("0"), Ok(0));
        for unsaid in ["null", "-1", "\"soon\"", "[]"] {
            assert_eq!(lasts(unsaid), Ok(Token::UNSAID), "{unsaid}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_no_token() {
        for body in [
            "",
            "{}",
            "<html>",
            r#"{"access_token":""}"#,
            r#"{"access_token":"a\r\nb"}"#,
            r#"{"access_token":"é"}"#,
        ] {
            assert!(Token::read(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
