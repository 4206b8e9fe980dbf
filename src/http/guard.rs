//! What a request has to pass on its way to rmcp.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{ALLOW, AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use rmcp::{
    ServerHandler,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    HttpOptions,
    body::{self, Call, MAX_BODY},
    origin::{self, Allowed},
    token::{Shown, Token},
};
use crate::model::Caller;

/// Calls under way at once; more are answered 503 (guardrails F40).
pub(super) const MAX_CALLS: u32 = 1024;

/// Sessions of protocols before 2026-07-28; rmcp has no limit of its own.
const MAX_SESSIONS: usize = 1024;

/// How long an idle session lives. rmcp's 5 min would end those of people who think, and few clients
/// begin a new one by themselves.
const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);

/// The checks, and what they compare with.
#[derive(Clone)]
pub(super) struct Guard(Arc<Inner>);

struct Inner {
    allowed: Arc<Allowed>,
    token: Token,
    caller: Caller,
    calls: Arc<Semaphore>,
    sessions: Arc<LocalSessionManager>,
}

/// A refusal in plain text.
fn refuse(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

fn busy(text: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
}

impl Guard {
    pub(super) fn new(options: &HttpOptions, allowed: Allowed) -> Self {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SESSION_IDLE);
        Self(Arc::new(Inner {
            allowed: Arc::new(allowed),
            token: Token::new(&options.token),
            caller: Caller(options.caller.clone()),
            calls: Arc::new(Semaphore::new(MAX_CALLS as usize)),
            sessions: Arc::new(sessions),
        }))
    }

    /// One permit for each call that may be under way.
    pub(super) fn calls(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.calls)
    }

    /// The whole server: `/mcp` behind every check, `open` behind those of host and origin.
    pub(super) fn app<H: ServerHandler + Clone>(
        self,
        handler: H,
        sessions: &CancellationToken,
        open: Router,
    ) -> Router {
        let config = StreamableHttpServerConfig::default()
            .with_json_response(true)
            .with_max_request_body_bytes(MAX_BODY)
            // Both are checked here, before the token and for every page.
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_cancellation_token(sessions.child_token());
        let mcp =
            StreamableHttpService::new(move || Ok(handler.clone()), Arc::clone(&self.0.sessions), config);
        let allowed = Arc::clone(&self.0.allowed);
        let calls =
            Router::new().route_service("/mcp", mcp).layer(middleware::from_fn_with_state(self, call));
        named(calls.merge(open), allowed)
    }
}

/// Pages that need no token, behind the checks of host and origin.
pub(super) fn own_pages(open: Router, allowed: Allowed) -> Router {
    named(open, Arc::new(allowed))
}

fn named(router: Router, allowed: Arc<Allowed>) -> Router {
    router
        .layer(middleware::from_fn_with_state(allowed, own_name))
        .layer(CatchPanicLayer::custom(internal_error))
}

/// Answers for a handler that panicked; the hook has logged where.
fn internal_error(_: Box<dyn Any + Send>) -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// Lets a request pass that is meant for this server and comes from no foreign page.
async fn own_name(State(allowed): State<Arc<Allowed>>, request: Request, next: Next) -> Response {
    match host(request.headers()) {
        None => return refuse(StatusCode::BAD_REQUEST, "a request has one Host header"),
        Some(host) if !is_own(&allowed, host, request.uri()) => {
            tracing::debug!(http.refused = "host", "refused a request");
            return refuse(
                StatusCode::FORBIDDEN,
                "this Host is not allowed here; see [http] allowed_hosts and public_url",
            );
        }
        Some(_) => {}
    }
    let mut origins = request.headers().get_all(ORIGIN).iter();
    if !origins.all(|origin| origin.to_str().is_ok_and(|origin| allowed.origin(origin))) {
        tracing::debug!(http.refused = "origin", "refused a request");
        return refuse(StatusCode::FORBIDDEN, "this Origin is not allowed here; see [http] allowed_origins");
    }
    next.run(request).await
}

/// The value of the one `Host` header; none when it is missing, empty, or there twice.
fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !value.is_empty() => Some(value),
        _ => None,
    }
}

/// A request line may name a host too, which then counts (RFC 9112 §3.2.2): both must be ours.
///
/// Probes reach the health pages by the machine's address, which no name server can forge.
fn is_own(allowed: &Allowed, host: &HeaderValue, uri: &Uri) -> bool {
    let probe = matches!(uri.path(), "/healthz" | "/readyz");
    let own = |host: &str| allowed.host(host) || (probe && origin::is_ip(host));
    host.to_str().is_ok_and(own) && uri.authority().is_none_or(|authority| own(authority.as_str()))
}

/// Lets a call of `/mcp` pass that shows the token and is well-formed.
async fn call(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.0.token.check(request.headers()) {
        Shown::Right => {}
        Shown::Wrong => return unauthorized("Bearer error=\"invalid_token\""),
        Shown::Nothing => return unauthorized("Bearer"),
    }
    // Handlers see the headers; the token is no business of theirs.
    request.headers_mut().remove(AUTHORIZATION);
    request.extensions_mut().insert(guard.0.caller.clone());
    let Ok(permit) = Arc::clone(&guard.0.calls).try_acquire_owned() else {
        return busy("too many calls at once");
    };
    let response = match *request.method() {
        Method::POST => post(&guard, request, next).await,
        Method::GET | Method::DELETE if !request.headers().contains_key("mcp-session-id") => {
            (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], "this needs a session").into_response()
        }
        // A stream for notifications stays open: it is no call under way.
        _ => return next.run(request).await,
    };
    hold(response, permit)
}

fn unauthorized(challenge: &'static str) -> Response {
    let text = "a bearer token is needed";
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)], text).into_response()
}

async fn post(guard: &Guard, request: Request, next: Next) -> Response {
    let Call { request, id, is_initialize } = match body::read(request).await {
        Ok(call) => call,
        Err(fault) => return fault.into_response(),
    };
    if is_initialize && guard.0.sessions.sessions.read().await.len() >= MAX_SESSIONS {
        return busy("too many sessions");
    }
    body::answer(next.run(request).await, id)
}

/// Keeps the permit until a streamed answer ends; one that is whole needs it no longer.
fn hold(response: Response, permit: OwnedSemaphorePermit) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &permit;
            frame
        }))
    })
}
