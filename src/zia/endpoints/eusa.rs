//! `/eusaStatus/latest`.

use serde::Deserialize;

use super::{Call, Endpoint, Unreadable, json};

/// Reads whether the end user subscription agreement is accepted.
///
/// Until it is, nothing activates (zia-facts §3.5).
pub(in crate::zia) struct ReadEusa;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "acceptedStatus")]
    accepted: bool,
}

impl Call for ReadEusa {
    type Output = bool;
    const ENDPOINT: Endpoint = Endpoint::Eusa;

    fn target(&self) -> String {
        "/eusaStatus/latest".to_owned()
    }

    fn decode(&self, body: &[u8]) -> Result<bool, Unreadable> {
        Ok(json::<Body>(body)?.accepted)
    }
}
