//! Where approvers sign in.

use std::time::Duration;

use secrecy::SecretString;

use super::reader::Reader;
use crate::http::Provider;

const SECRET: &str = "ZIA_MCP_APPROVAL_CLIENT_SECRET";

/// What is asked for besides `openid`, where nothing else is set.
const SCOPES: [&str; 2] = ["email", "profile"];

/// Reads the identity provider of `[approval]`, if there is one.
///
/// It needs a group: else everybody who has an account there could approve.
pub(super) fn provider(reader: &mut Reader<'_>, extra_ca: Option<&String>) -> Option<Provider> {
    let issuer = reader.url(None, Some(("approval", "issuer")));
    let client_id = reader.text(None, Some(("approval", "client_id")));
    let group = reader.text(None, Some(("approval", "group")));
    let group_claim = reader.text(None, Some(("approval", "group_claim")));
    let client_secret = reader.secret(SECRET).map(SecretString::from);
    let scopes = reader.texts("approval", "scopes");
    let (acr, amr) = (reader.texts("approval", "acr"), reader.texts("approval", "amr"));
    let max_age = reader.number_if_set(("approval", "max_age_seconds"), 0..=300);
    let Some(issuer) = issuer else {
        let set = [
            ("[approval] client_id", client_id.is_some()),
            ("[approval] group", group.is_some()),
            ("[approval] group_claim", group_claim.is_some()),
            (SECRET, client_secret.is_some()),
            ("[approval] scopes", !scopes.is_empty()),
            ("[approval] acr", !acr.is_empty()),
            ("[approval] amr", !amr.is_empty()),
            ("[approval] max_age_seconds", max_age.is_some()),
        ];
        for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            reader.problem(name, "needs [approval] issuer, the identity provider that it is about");
        }
        return None;
    };
    let mut needed = |name: &str, value: Option<String>, why: &str| {
        value.unwrap_or_else(|| {
            reader.problem(name, why);
            String::new()
        })
    };
    Some(Provider {
        client_id: needed("[approval] client_id", client_id, "needed: this server's name at the issuer"),
        group: needed(
            "[approval] group",
            group,
            "needed: else everybody with an account there could approve",
        ),
        issuer,
        client_secret,
        scopes: if scopes.is_empty() { SCOPES.map(str::to_owned).to_vec() } else { scopes },
        group_claim: group_claim.unwrap_or_else(|| "groups".into()),
        acr,
        amr,
        max_age: Duration::from_secs(max_age.unwrap_or(0).into()),
        extra_ca: extra_ca.cloned(),
    })
}
