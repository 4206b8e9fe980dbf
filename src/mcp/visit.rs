//! Sending the person at the client to the approval page, in both protocol generations.
//!
//! What the client says of it is worth nothing but a hint: "accept" says that the page was opened, and
//! only what an approver decides there counts.

use std::time::Duration;

use rmcp::{
    RoleServer,
    model::{
        CallToolResponse, CustomNotification, ElicitRequestParams, ElicitResult, ElicitationAction,
        ProtocolVersion, ServerNotification,
    },
    service::RequestContext,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    ask::{input_required, is_modern},
    call::Call,
    reply::{Refusal, structured},
};
use crate::lifecycle::{INTERACTIVE, Outcome, Report, Visit};

/// How long a call waits for the decision once the page was opened; `get_operation` follows it further.
///
/// Some clients say that a page was opened by themselves and at once, so this is not as long as a call
/// may take.
const DECIDING: Duration = Duration::from_secs(20);

/// The key of our request in `inputRequests`.
const APPROVAL: &str = "approval";

const NOT_OPENED: &str =
    "the approval page was not opened from the client; nothing was sent, and an approver can still decide";

const NOT_DECIDED: &str = "no approver has decided yet; nothing was sent, and get_operation follows it";

/// Whether the client can send its person to a page, which there is from 2025-11-25 on.
fn can_open_a_page(context: &RequestContext<RoleServer>) -> bool {
    let url = context.client_capabilities().and_then(|c| c.elicitation).is_some_and(|e| e.url.is_some());
    url && context.protocol_version().is_some_and(|v| v >= ProtocolVersion::V_2025_11_25)
}

/// Sends the person there, if the client can; the answer of the call then.
pub(super) async fn send(call: &Call<'_>, visit: &Visit) -> Result<Option<CallToolResponse>, Refusal> {
    if !can_open_a_page(call.context) {
        return Ok(None);
    }
    if is_modern(call.context) {
        return request(call, visit).map(Some);
    }
    elicit(call, visit).await.map(Some)
}

/// Takes up what a call of a 2026-07-28 client brings back; `None` if it brings nothing.
pub(super) fn brought(call: &Call<'_>) -> Option<ElicitResult> {
    let answer = call.answers.as_ref()?.get(APPROVAL)?;
    ElicitResult::deserialize(answer).ok()
}

/// The request as a result: the client sends its person to the page and calls again.
pub(super) fn request(call: &Call<'_>, visit: &Visit) -> Result<CallToolResponse, Refusal> {
    input_required(call, &visit.operation, APPROVAL, page(visit, String::new()))
}

/// Answers a call whose client says what became of the page.
pub(super) async fn visited(
    call: &Call<'_>,
    visit: &Visit,
    action: &ElicitationAction,
) -> Result<CallToolResponse, Refusal> {
    let opened = *action == ElicitationAction::Accept;
    let left = || INTERACTIVE.saturating_sub(call.spent());
    let most = if opened { DECIDING.min(left()) } else { Duration::ZERO };
    let report = call.patiently(call.lifecycle().follow(&visit.operation, most)).await?;
    if report.outcome == Outcome::AwaitingApproval {
        return told(report, if opened { NOT_DECIDED } else { NOT_OPENED });
    }
    structured(&call.patiently(call.lifecycle().wait(&visit.operation, left())).await?)
}

/// Asks a client of 2025-11-25, by a request of our own; a decision meanwhile ends the wait.
async fn elicit(call: &Call<'_>, visit: &Visit) -> Result<CallToolResponse, Refusal> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let params = page(visit, id.clone());
    // From the handler's own task: rmcp ties the request to this call by it.
    let asked = call.context.peer.create_elicitation_with_timeout(params, Some(visit.ask));
    let decided = call.patiently(call.lifecycle().follow(&visit.operation, visit.ask));
    let answered = tokio::select! {
        answer = asked => {
            // An answer that does not come, or cannot be read, opened nothing.
            let action = answer.map_or(ElicitationAction::Cancel, |result| result.action);
            visited(call, visit, &action).await
        }
        report = decided => report.and_then(|report| told(report, NOT_OPENED)),
    };
    if call.lifecycle().visit(&call.actor, &visit.operation).await.is_ok_and(|open| open.is_none()) {
        complete(call, &id).await;
    }
    answered
}

/// Tells the client that there is nothing left to do on the page.
async fn complete(call: &Call<'_>, id: &str) {
    let params = json!({ "elicitationId": id });
    let done = CustomNotification::new("notifications/elicitation/complete", Some(params));
    // A client that no longer listens needs no telling.
    let _ = call.context.peer.send_notification(ServerNotification::CustomNotification(done)).await;
}

fn told(mut report: Report, undecided: &str) -> Result<CallToolResponse, Refusal> {
    if report.outcome == Outcome::AwaitingApproval {
        report.notes.push(undecided.to_owned());
    }
    structured(&report)
}

fn page(visit: &Visit, elicitation_id: String) -> ElicitRequestParams {
    let (message, url) = (visit.message.clone(), visit.url.clone());
    ElicitRequestParams::UrlElicitationParams { meta: None, message, url, elicitation_id }
}
