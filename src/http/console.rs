//! `/console`: the page on which approvers decide.
//!
//! Plain forms, no script. Nothing about a person is shown, and not even whether an operation
//! exists, before an approver's one-time code was right; a GET changes nothing (guardrails T21).

mod page;
mod password;

use std::time::Duration;

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use maud::Markup;
use serde::Deserialize;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::{
    lifecycle::{Decision, Failure, Policy, Proof, Records, Waiting},
    model::OperationId,
};

/// Where it is.
pub const PATH: &str = "/console";

/// Largest form, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// Longest that a form may take to come (guardrails F39).
const PATIENCE: Duration = Duration::from_secs(30);

/// What the pages may do: nothing but show themselves and send their forms here.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (CACHE_CONTROL, "no-store"),
    // Without it a browser would send the forms with `Origin: null`; other sites see nothing of it.
    (REFERRER_POLICY, "same-origin"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
];

/// The console over the records of a store.
#[derive(Clone, Debug)]
pub struct Console {
    /// Operations, approvers.
    pub records: Records,
    /// The operator's rules.
    pub policy: Policy,
}

/// What a form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    approver: String,
    code: String,
    pass: String,
    decision: String,
    count: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    operation: Option<String>,
}

/// Its pages.
pub(super) fn router(console: Console) -> Router {
    Router::new()
        .route(PATH, get(front))
        .route("/console/style.css", get(style))
        .route("/console/{operation}", get(sign_in).post(post))
        .route(password::PATH, get(password::sign_in).post(password::show))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(RequestBodyTimeoutLayer::new(PATIENCE))
        .layer(middleware::map_response(protected))
        .with_state(console)
}

async fn protected(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("console/style.css"))
}

async fn front(Query(wanted): Query<Wanted>) -> Response {
    let id = wanted.operation.and_then(|text| text.trim().parse::<OperationId>().ok());
    match id {
        Some(id) => (StatusCode::SEE_OTHER, [(LOCATION, format!("{PATH}/{id}"))]).into_response(),
        None => page::front().into_response(),
    }
}

async fn sign_in(Path(operation): Path<String>) -> Result<Markup, (StatusCode, Markup)> {
    Ok(page::sign_in(&read(&operation)?, None))
}

async fn post(
    State(console): State<Console>,
    Path(operation): Path<String>,
    Form(sent): Form<Sent>,
) -> Result<Markup, (StatusCode, Markup)> {
    let id = read(&operation)?;
    if sent.decision.is_empty() && sent.pass.is_empty() {
        console.prove(&id, &sent).await
    } else {
        console.decide(&id, &sent).await
    }
}

/// An operation's id, or the page that says there is none.
fn read(text: &str) -> Result<OperationId, (StatusCode, Markup)> {
    text.parse().map_err(|()| (StatusCode::NOT_FOUND, page::note("There is no such page.", None)))
}

impl Console {
    /// Shows the operation to an approver whose code is right.
    async fn prove(&self, id: &OperationId, sent: &Sent) -> Result<Markup, (StatusCode, Markup)> {
        let again = |why: &str| (StatusCode::FORBIDDEN, page::sign_in(id, Some(why)));
        // First the code: whether there is such an operation is nobody else's business.
        let proof = self.records.prove(id, &sent.approver, &sent.code).await.map_err(failed)?;
        let name = match proof {
            Proof::Right(name) => name,
            Proof::Wrong => return Err(again("Wrong name or code, or the code was used already.")),
            Proof::Locked(until) => {
                return Err(again(&format!("Too many wrong codes: try again after {until:.0}.")));
            }
        };
        let waiting = self.waiting(id).await?;
        Ok(page::operation(id, &waiting, &name, &self.records.pass(&name, id), None))
    }

    /// Takes the decision of whoever holds the pass.
    async fn decide(&self, id: &OperationId, sent: &Sent) -> Result<Markup, (StatusCode, Markup)> {
        let approve = match sent.decision.as_str() {
            "approve" => true,
            "reject" => false,
            _ => return Err((StatusCode::BAD_REQUEST, page::sign_in(id, Some("Nothing was decided.")))),
        };
        let refused = |_| {
            (StatusCode::FORBIDDEN, page::sign_in(id, Some("This sign-in is over: nothing was decided.")))
        };
        let by = self.records.take_pass(&sent.pass, id).await.map_err(refused)?;
        let waiting = self.waiting(id).await?;
        let wrong_count = waiting.count.is_some_and(|count| sent.count.trim() != count.to_string());
        if approve && wrong_count {
            let pass = self.records.pass(&by, id);
            let why = "The number is another one: nothing was decided.";
            return Err((StatusCode::FORBIDDEN, page::operation(id, &waiting, &by, &pass, Some(why))));
        }
        let decision = Decision { approve, by, channel: "page".into() };
        let decided = self.records.decide(id, decision, &self.policy).await.map_err(failed)?;
        Ok(page::decided(decided))
    }

    async fn waiting(&self, id: &OperationId) -> Result<Waiting, (StatusCode, Markup)> {
        self.records.waiting(id.as_str()).await.map_err(failed)
    }
}

fn failed(failure: Failure) -> (StatusCode, Markup) {
    use crate::lifecycle::Code;
    let status = match failure.code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Forbidden | Code::Conflict => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, page::note(&failure.message, Some(&failure.next)))
}
