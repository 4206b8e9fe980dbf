//! The documented limits, and what the operator made of them.

mod pacer;

use std::fmt;

#[cfg(test)]
pub(super) use pacer::MARGIN;
pub(super) use pacer::{Departing, Lane, Pacer, Sight};

use jiff::Timestamp;

use super::endpoints::Endpoint;
use crate::model::{Left, Per, Terms, Window};

/// The part of an hour's calls for background work, in per cent, unless configured.
const BACKGROUND: u32 = 50;

/// The documented windows of an endpoint (zia-facts §5).
fn documented(endpoint: Endpoint) -> &'static [(u32, Per)] {
    use Per::{Hour, Minute, Second};
    match endpoint {
        Endpoint::ListUsers => &[(1, Second), (10, Minute), (40, Hour)],
        Endpoint::DeleteUser | Endpoint::ListGroups => &[(1, Second), (400, Hour)],
        Endpoint::DeleteUsers => &[(1, Minute), (4, Hour)],
        Endpoint::Activate => &[(10, Minute), (40, Hour)],
        // The token endpoint counts by the thousand; single flight stays far below (zia-facts §2).
        Endpoint::Token => &[],
        Endpoint::ReadUser
        | Endpoint::CreateUser
        | Endpoint::ReplaceUser
        | Endpoint::ListDepartments
        | Endpoint::Status
        | Endpoint::Eusa
        | Endpoint::SignIn
        | Endpoint::SignOut => &[(2, Second), (1000, Hour)],
    }
}

/// Whether a part of each hour is kept for checking, verifying and activating what was begun.
fn is_reserved(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::ListUsers | Endpoint::ReadUser | Endpoint::Status | Endpoint::Activate)
}

/// Which limits the client keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    paced: bool,
    /// What the operator set, in the order of the settings.
    set: Vec<(Endpoint, Window)>,
    background: u32,
}

/// There is no such endpoint, or none with limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownEndpoint;

impl fmt::Display for UnknownEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no such endpoint")
    }
}

impl std::error::Error for UnknownEndpoint {}

impl Limits {
    /// The vendor's documented limits per endpoint (zia-facts §5).
    pub fn documented() -> Self {
        Self { paced: true, set: Vec::new(), background: BACKGROUND }
    }

    /// No pacing, for tests and benchmarks; a 429 is honoured all the same.
    pub fn unpaced() -> Self {
        Self { paced: false, ..Self::documented() }
    }

    /// The endpoints with limits, by method and path template.
    pub fn endpoints() -> impl Iterator<Item = &'static str> {
        Endpoint::ALL.into_iter().filter(|e| !documented(*e).is_empty()).map(Endpoint::name)
    }

    /// Replaces a limit by what the operator knows of the tenant.
    ///
    /// # Errors
    /// The endpoint is not one of [`Limits::endpoints`].
    pub fn with(mut self, endpoint: &str, window: Window) -> Result<Self, UnknownEndpoint> {
        let known = Endpoint::ALL.into_iter().filter(|e| !documented(*e).is_empty());
        let endpoint = known.into_iter().find(|e| e.name() == endpoint).ok_or(UnknownEndpoint)?;
        self.set.retain(|(other, w)| *other != endpoint || w.per != window.per);
        self.set.push((endpoint, window));
        Ok(self)
    }

    /// Replaces the part of each hour's calls that background work may use, in per cent.
    #[must_use]
    pub fn with_background(self, per_cent: u32) -> Self {
        Self { background: per_cent.min(100), ..self }
    }

    /// The limits of an endpoint.
    pub(super) fn terms(&self, endpoint: Endpoint) -> Terms {
        let set = |per| self.set.iter().find(|(e, w)| *e == endpoint && w.per == per).map(|(_, w)| *w);
        let told = |per| {
            let (limit, per) = *documented(endpoint).iter().find(|(_, known)| *known == per)?;
            Some(Window { limit, per })
        };
        let windows = Per::ALL.into_iter().filter_map(|per| set(per).or_else(|| told(per)));
        let configured: Vec<_> = Per::ALL.into_iter().filter_map(set).map(spelled).collect();
        Terms {
            endpoint: endpoint.name(),
            windows: if self.paced { windows.collect() } else { Vec::new() },
            configured: configured.join(","),
            reserved: is_reserved(endpoint),
            background: self.background,
        }
    }
}

/// What is left of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetLine {
    /// Method and path template, such as `GET /users`.
    pub endpoint: &'static str,
    /// `second`, `minute` or `hour`.
    pub per: &'static str,
    /// Requests per window.
    pub limit: u32,
    /// Requests left in the window that ends now.
    pub remaining: u32,
    /// When one more becomes free; now, if none is in use.
    pub resets_at: Timestamp,
}

impl From<Left> for BudgetLine {
    fn from(left: Left) -> Self {
        let Left { endpoint, window, remaining, resets_at } = left;
        Self { endpoint, per: window.per.as_str(), limit: window.limit, remaining, resets_at }
    }
}

fn spelled(window: Window) -> String {
    format!("{}/{}", window.limit, window.per.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(limits: &Limits) -> Vec<(&'static str, u32)> {
        let hour = |t: Terms| t.windows.iter().find(|w| w.per == Per::Hour).map(|w| (t.endpoint, w.limit));
        Endpoint::ALL.into_iter().map(|e| limits.terms(e)).filter_map(hour).collect()
    }

    #[test]
    fn every_endpoint_but_the_tokens_has_an_hour() {
        assert_eq!(hours(&Limits::documented()).len(), Endpoint::ALL.len() - 1);
        assert!(Limits::endpoints().all(|name| hours(&Limits::documented()).iter().any(|(n, _)| *n == name)));
        assert!(hours(&Limits::unpaced()).is_empty());
    }

    #[test]
    fn the_operators_word_replaces_one_window_and_names_itself() {
        let limits = Limits::documented();
        let limits = limits.with("GET /users", Window { limit: 60, per: Per::Hour }).unwrap();
        let limits = limits.with("GET /users", Window { limit: 80, per: Per::Hour }).unwrap();
        let terms = limits.terms(Endpoint::ListUsers);
        let windows: Vec<_> = terms.windows.iter().copied().map(spelled).collect();
        assert_eq!(windows, ["1/second", "10/minute", "80/hour"]);
        assert_eq!(terms.configured, "80/hour");
        assert_eq!(limits.terms(Endpoint::ReadUser).configured, "");
        for unknown in ["GET /user", "POST /oauth2/v1/token"] {
            let window = Window { limit: 1, per: Per::Hour };
            assert_eq!(limits.clone().with(unknown, window), Err(UnknownEndpoint), "{unknown}");
        }
    }
}
