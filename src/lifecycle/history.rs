//! What happened to an operation, in words, from the audit trail.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{Records, details::Details, failure::Failure};
use crate::{
    model::{Operation, shown},
    store::AuditRecord,
};

/// The most records of the trail that are read for one operation.
const MOST: u32 = 2_000;

/// Something that happened, or several alike in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, the last of them.
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// What else is known of it.
    pub more: Option<String>,
    /// How often in a row.
    pub times: usize,
}

/// The names behind the keyed digests of approvers.
type Names = BTreeMap<String, String>;

impl Records {
    /// What is on record of an operation, in order.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub(super) async fn history(&self, operation: &Operation) -> Result<Vec<Happening>, Failure> {
        let names = self.approver_names(operation).await?;
        let mut told: Vec<Happening> = Vec::new();
        for record in self.store.audit_of(&operation.tenant, &operation.id, MOST).await? {
            let Some((what, more)) = words(&record, operation, &names) else { continue };
            match told.last_mut() {
                Some(last) if last.what == what && last.more == more => {
                    last.times += 1;
                    last.at = record.at;
                }
                _ => told.push(Happening { at: record.at, what, more, times: 1 }),
            }
        }
        Ok(told)
    }

    /// Names of those who are enrolled, and of those who approved this operation.
    async fn approver_names(&self, operation: &Operation) -> Result<Names, Failure> {
        let details = Details::of(operation);
        let mut names: Vec<String> = self.store.approvers().await?.into_iter().map(|a| a.name).collect();
        for given in [&details.first_approval, &details.approval].into_iter().flatten() {
            names.extend(given.by.split(" and ").map(str::to_owned));
            names.push(given.by.clone());
        }
        Ok(names.into_iter().map(|name| (self.store.approver_digest(&name), shown(&name))).collect())
    }
}

/// What a record says; `None` for one that tells a person nothing.
fn words(record: &AuditRecord, operation: &Operation, names: &Names) -> Option<(String, Option<String>)> {
    let body: Value = serde_json::from_str(&record.body).unwrap_or_default();
    let fields = body.get("fields").cloned().unwrap_or_default();
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let of_write = || text("write").map_or("the change", write);
    let (what, more) = match record.event.as_str() {
        "operation.created" => {
            let (caller, client) = (shown(&operation.actor.caller), shown(&operation.actor.client));
            (format!("Asked for by {caller}"), Some(format!("through {client}")))
        }
        "capture.taken" => ("Before-image taken".into(), None),
        "operation.captured" => return None,
        "approval.given" => (format!("Approved by {}", people(&fields, names)), text("channel").map(channel)),
        "approval.first_of_two" => {
            (format!("Approved by {}, the first of two", people(&fields, names)), None)
        }
        "approval.rejected" => {
            (format!("Rejected by {}", people(&fields, names)), text("channel").map(channel))
        }
        "approval.code_refused" => (format!("Wrong code given as {}", people(&fields, names)), None),
        "send.intended" => (format!("Sending {} to ZIA", of_write()), attempt(&fields)),
        "send.ended" => (format!("ZIA on {}: {}", of_write(), outcome(&fields)), code(&fields)),
        "send.verified" => ("Verified by reading ZIA".into(), text("evidence").map(evidence)),
        "activation.active" => ("The tenant read ACTIVE: the change is live".into(), None),
        // The step before says it already.
        "send.acked" | "send.answered" => return None,
        other => return plain(other).map(|what| (what.to_owned(), None)),
    };
    Some((what, more))
}

fn plain(event: &str) -> Option<&'static str> {
    Some(match event {
        "console.sign_in_refused" => "A sign-in at the identity provider was refused",
        "operation.claimed" => "Taken on by another server process",
        "operation.ended" => "Ended",
        "operation.expired" => "Expired: nobody decided in time",
        "operation.failed" => "Failed",
        "approval.declined" => "Declined in the client",
        "approval.not_given" => "Asked in the client: no valid answer",
        "send.held" => "Held back for now",
        "send.repeated" => "To be sent again: ZIA did nothing the first time",
        "send.settled" => "Settled by reading ZIA",
        "send.unknown" | "send.unsettled" => "No clear answer: ZIA is being read",
        "activation.held" => "Not activated: other administrators' changes are staged, too",
        "activation.not_active" => "Not active yet",
        "user.absent" => "The user was not there any more",
        "user.changed" => "The user changed after the approval: nothing was sent",
        "users.settled" => "Looked for each user",
        _ => return None,
    })
}

fn people(fields: &Value, names: &Names) -> String {
    let one = fields.get("approver").and_then(Value::as_str);
    let several = fields.get("approvers").and_then(Value::as_array).into_iter().flatten();
    let digests: Vec<_> = one.into_iter().chain(several.filter_map(Value::as_str)).collect();
    let known =
        |digest: &&str| names.get(*digest).cloned().unwrap_or_else(|| "somebody removed since".into());
    let people: Vec<_> = digests.iter().map(known).collect();
    if people.is_empty() { "a person".into() } else { people.join(" and ") }
}

fn channel(channel: &str) -> String {
    match channel {
        "page" => "on this page, with a one-time code".into(),
        "code" => "at the terminal, with a one-time code".into(),
        "provider" => "on this page, signed in at the identity provider".into(),
        "client" => "in the client".into(),
        other => shown(other),
    }
}

fn write(name: &str) -> &'static str {
    match name {
        "create_user" => "the new user",
        "replace_user" => "the changed user",
        "delete_user" => "the delete",
        "delete_users" => "the bulk delete",
        "activate" => "the activation",
        _ => "the change",
    }
}

fn outcome(fields: &Value) -> String {
    if let Some(each) = fields.get("outcomes") {
        let count =
            each.as_array().map_or_else(|| each.as_object().map_or(0, serde_json::Map::len), Vec::len);
        return format!("answered for {count} users");
    }
    match fields.get("outcome").and_then(Value::as_str) {
        Some("done") => "done".into(),
        Some("not_sent") => "nothing was sent".into(),
        Some("refused") => "not processed".into(),
        Some("rejected") => "refused".into(),
        _ => "no clear answer".into(),
    }
}

fn code(fields: &Value) -> Option<String> {
    fields.get("code").and_then(Value::as_str).map(|code| format!("ZIA's code: {}", shown(code)))
}

fn attempt(fields: &Value) -> Option<String> {
    let attempt = fields.get("attempt").and_then(Value::as_i64).filter(|n| *n > 1)?;
    Some(format!("attempt {attempt}"))
}

fn evidence(evidence: &str) -> String {
    match evidence {
        "absent_after_send" => "the user is not there any more".into(),
        other => shown(&other.replace('_', " ")),
    }
}
