//! The viewer's cookie.

use axum::{
    http::{
        HeaderMap, HeaderValue,
        header::{COOKIE, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};

use super::{Room, failed};
use crate::lifecycle::Viewer;

/// The cookie of a session, as a browser keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jar {
    /// The pages are reached over TLS.
    secure: bool,
}

impl Jar {
    pub(super) fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// `__Host-` binds a cookie to this very host, and needs TLS.
    fn name(self) -> &'static str {
        if self.secure { "__Host-zia-mcp" } else { "zia-mcp-console" }
    }

    /// The cookie of somebody who was sent to the identity provider. It comes back with a redirect of
    /// another site, which a strict one would not.
    fn errand_name(self) -> &'static str {
        if self.secure { "__Host-zia-mcp-errand" } else { "zia-mcp-errand" }
    }

    fn attributes(self) -> &'static str {
        if self.secure {
            "Path=/; Secure; HttpOnly; SameSite=Strict"
        } else {
            "Path=/console; HttpOnly; SameSite=Strict"
        }
    }

    /// The session that a request shows.
    fn read(self, headers: &HeaderMap) -> Option<&str> {
        Self::cookie(headers, self.name())
    }

    /// The errand that a request shows.
    pub(super) fn errand(self, headers: &HeaderMap) -> Option<&str> {
        Self::cookie(headers, self.errand_name())
    }

    fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Ends with the browser, or with the session, whichever is first.
    fn keep(self, response: &mut Response, text: &str) {
        self.set(response, &format!("{}={text}; {}", self.name(), self.attributes()));
    }

    pub(super) fn forget(self, response: &mut Response) {
        self.set(response, &format!("{}=; Max-Age=0; {}", self.name(), self.attributes()));
    }

    pub(super) fn send_off(self, response: &mut Response, text: &str) {
        let lax = self.attributes().replace("Strict", "Lax");
        self.set(response, &format!("{}={text}; Max-Age=600; {lax}", self.errand_name()));
    }

    pub(super) fn forget_errand(self, response: &mut Response) {
        let lax = self.attributes().replace("Strict", "Lax");
        self.set(response, &format!("{}=; Max-Age=0; {lax}", self.errand_name()));
    }

    fn set(self, response: &mut Response, line: &str) {
        if let Ok(line) = HeaderValue::from_str(line) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
}

impl Room {
    /// Whoever is signed in.
    ///
    /// # Errors
    /// The page that says that the store does not answer.
    pub(super) async fn viewer(&self, headers: &HeaderMap) -> Result<Option<Viewer>, Response> {
        let Some(text) = self.jar.read(headers) else { return Ok(None) };
        let viewer = self.console.records.viewer(text).await.map_err(failed)?;
        // A session of the other way in is from before the settings changed.
        Ok(viewer.filter(|viewer| viewer.person.subject.is_some() == self.desk.is_some()))
    }

    /// A page for a viewer, whose session goes on.
    pub(super) fn to(&self, viewer: &Viewer, page: impl IntoResponse) -> Response {
        let mut response = page.into_response();
        if let Some(text) = self.console.records.session_text(viewer) {
            self.jar.keep(&mut response, &text);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_bound_to_the_host_where_there_is_tls_and_never_read_by_a_script() {
        for (secure, name) in [(true, "__Host-zia-mcp"), (false, "zia-mcp-console")] {
            let jar = Jar::new(secure);
            let mut response = ().into_response();
            jar.keep(&mut response, "abc");
            let line = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
            assert!(line.starts_with(&format!("{name}=abc; ")), "{line}");
            assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict"), "{line}");
            assert_eq!(line.contains("; Secure"), secure);
            assert!(
                !line.contains("Domain") && line.contains(if secure { "Path=/;" } else { "Path=/console" })
            );
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_under_its_own_name_only() {
        let jar = Jar::new(true);
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "zia-mcp-console=x; a=b".parse().unwrap());
        assert_eq!(jar.read(&headers), None);
        headers.append(COOKIE, "c=d;__Host-zia-mcp=abc".parse().unwrap());
        assert_eq!(jar.read(&headers), Some("abc"));
    }
}
