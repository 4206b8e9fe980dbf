//! Asking the person at the client, in both protocol generations.

use std::time::Duration;

use rmcp::{
    RoleServer,
    model::{
        CallToolResponse, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction,
        ElicitationSchema, InputRequest, InputRequiredResult, SealOptions,
    },
    service::{RequestContext, ServiceError},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    call::Call,
    reply::{Refusal, internal},
    visit,
};
use crate::{
    lifecycle::{Answer, Question},
    model::OperationId,
};

/// The key of our question in `inputRequests`, and of its one field.
const CONFIRM: &str = "confirm";

/// What a sealed state carries: which operation, and what makes it usable once.
#[derive(Serialize, Deserialize)]
struct Sealed {
    operation: OperationId,
    nonce: String,
}

/// Whether the client speaks 2026-07-28 or later.
pub(super) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|v| !v.has_initialize())
}

/// Whether the client can show a form; an empty capability means that it can.
fn can_show_a_form(context: &RequestContext<RoleServer>) -> bool {
    let elicitation = context.client_capabilities().and_then(|c| c.elicitation);
    elicitation.is_some_and(|e| e.form.is_some() || e.url.is_none())
}

/// Asks, if the client can; `Some` is the question itself, to be handed back to a 2026-07-28 client.
pub(super) async fn ask(call: &Call<'_>, question: Question) -> Result<Option<CallToolResponse>, Refusal> {
    if !can_show_a_form(call.context) {
        return Ok(None);
    }
    if is_modern(call.context) {
        return ask_again(call, &question).map(Some);
    }
    let answer = elicit(call, &question).await?;
    call.lifecycle().answer(call.actor.clone(), question.operation, answer).await?;
    Ok(None)
}

/// Asks a client of 2025-11-25 or before, by a request of our own.
async fn elicit(call: &Call<'_>, question: &Question) -> Result<Answer, Refusal> {
    // From the handler's own task: rmcp ties the question to this call by it.
    let asked = call.context.peer.create_elicitation_with_timeout(form(question), Some(question.ask));
    tokio::select! {
        answer = asked => Ok(match answer {
            Ok(result) => read(result),
            Err(ServiceError::Timeout { .. }) => Answer::Silent,
            Err(_) => Answer::Cancelled,
        }),
        () = call.context.ct.cancelled() => Err(Refusal::cancelled()),
        // Nobody will be there to hear the answer; the operation stays open.
        () = call.lifecycle().leaving() => Ok(Answer::Silent),
    }
}

/// The answer of a form. Only an accepted form with its text can approve.
fn read(result: ElicitResult) -> Answer {
    match result.action {
        ElicitationAction::Accept => text(&result).map_or(Answer::Cancelled, Answer::Accepted),
        ElicitationAction::Decline => Answer::Declined,
        _ => Answer::Cancelled,
    }
}

fn text(result: &ElicitResult) -> Option<String> {
    result.content.as_ref()?.get(CONFIRM)?.as_str().map(str::to_owned)
}

/// Takes up the answer that a call of a 2026-07-28 client brings back.
pub(super) async fn answered(call: &Call<'_>) -> Result<Option<CallToolResponse>, Refusal> {
    let Some(state) = &call.state else { return Ok(None) };
    let sealed: Sealed = call.server.codec().open_json_with(state, &binding(call)).map_err(|error| {
        tracing::warn!(tool = %call.tool.name, %error, "a request state was refused");
        Refusal::bad_state()
    })?;
    let refused = |_| Refusal::bad_state();
    if let Some(page) = call.lifecycle().visit(&call.actor, &sealed.operation).await.map_err(refused)? {
        let Some(result) = visit::brought(call) else { return visit::request(call, &page).map(Some) };
        call.lifecycle().use_up(&sealed.nonce).await.map_err(refused)?;
        return visit::visited(call, &page, &result.action).await.map(Some);
    }
    let question = call.lifecycle().question(&call.actor, &sealed.operation).await.map_err(refused)?;
    let result =
        call.answers.as_ref().and_then(|a| a.get(CONFIRM)).and_then(|a| ElicitResult::deserialize(a).ok());
    let unanswered =
        result.as_ref().is_none_or(|r| r.action == ElicitationAction::Accept && text(r).is_none());
    if unanswered && let Some(question) = question {
        return ask_again(call, &question).map(Some);
    }
    call.lifecycle().use_up(&sealed.nonce).await.map_err(refused)?;
    if let Some(result) = result {
        call.lifecycle().answer(call.actor.clone(), sealed.operation.clone(), read(result)).await?;
    }
    call.report(&sealed.operation).await.map(Some)
}

/// The question as a result: the client asks its person and calls again.
fn ask_again(call: &Call<'_>, question: &Question) -> Result<CallToolResponse, Refusal> {
    input_required(call, &question.operation, CONFIRM, form(question))
}

/// A request to the person as a result, with a state that opens for this call alone.
pub(super) fn input_required(
    call: &Call<'_>,
    operation: &OperationId,
    key: &str,
    params: ElicitRequestParams,
) -> Result<CallToolResponse, Refusal> {
    let sealed = Sealed { operation: operation.clone(), nonce: uuid::Uuid::new_v4().simple().to_string() };
    let binding = binding(call);
    let options = SealOptions::new().associated_data(&binding).ttl(lifetime(call));
    let state =
        call.server.codec().seal_json_with(&sealed, &options).map_err(|_| Refusal::Protocol(internal()))?;
    let request = InputRequest::Elicitation(ElicitRequest::new(params));
    Ok(InputRequiredResult::new(Some([(key.to_owned(), request)].into()), Some(state)).into())
}

fn form(question: &Question) -> ElicitRequestParams {
    let hint = question.hint.clone();
    let schema = ElicitationSchema::builder()
        .required_string_property(CONFIRM, |s| s.title("Confirm").description(hint))
        .build_unchecked();
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: question.message.clone(),
        requested_schema: schema,
    }
}

/// A question lives as long as its operation waits.
fn lifetime(call: &Call<'_>) -> Duration {
    call.lifecycle().settings().expires
}

/// What a state is bound to: caller, tool and arguments. It opens for no others.
fn binding(call: &Call<'_>) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [call.actor.caller.as_bytes(), b"tools/call", call.tool.name.as_bytes(), &call.bound] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}
