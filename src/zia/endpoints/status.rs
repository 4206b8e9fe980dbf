//! `/status` and `/status/activate`.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Call, Endpoint, Unreadable, json};

/// Whether the tenant's configuration is live (zia-facts §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationStatus {
    /// Nothing is staged.
    Active,
    /// Changes are staged.
    Pending,
    /// Staged changes are being published.
    InProgress,
}

#[derive(Deserialize)]
struct Body {
    status: String,
}

fn decode_status(body: &[u8]) -> Result<ActivationStatus, Unreadable> {
    match json::<Body>(body)?.status.as_str() {
        "ACTIVE" => Ok(ActivationStatus::Active),
        "PENDING" => Ok(ActivationStatus::Pending),
        "INPROGRESS" => Ok(ActivationStatus::InProgress),
        _ => Err(Unreadable::Shape),
    }
}

/// Reads the activation status.
pub(in crate::zia) struct ReadStatus;

impl Call for ReadStatus {
    type Output = ActivationStatus;
    const ENDPOINT: Endpoint = Endpoint::Status;

    fn target(&self) -> String {
        "/status".to_owned()
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        decode_status(body)
    }
}

/// Publishes staged changes, other administrators' too (zia-facts §4).
pub(in crate::zia) struct Activate;

impl Call for Activate {
    type Output = ActivationStatus;
    const ENDPOINT: Endpoint = Endpoint::Activate;

    fn target(&self) -> String {
        "/status/activate".to_owned()
    }

    fn body(&self) -> Option<Zeroizing<Vec<u8>>> {
        Some(Zeroizing::new(b"{}".to_vec()))
    }

    fn decode(&self, body: &[u8]) -> Result<Self::Output, Unreadable> {
        decode_status(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_known_statuses_are_read() {
        let read = |status: &str| ReadStatus.decode(format!(r#"{{"status":"{status}"}}"#).as_bytes());
        assert_eq!(read("ACTIVE"), Ok(ActivationStatus::Active));
        assert_eq!(read("PENDING"), Ok(ActivationStatus::Pending));
        assert_eq!(read("INPROGRESS"), Ok(ActivationStatus::InProgress));
        assert_eq!(read("DONE"), Err(Unreadable::Shape));
        assert_eq!(ReadStatus.decode(b"{}"), Err(Unreadable::Shape));
    }
}
