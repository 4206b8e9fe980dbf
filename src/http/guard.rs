//! What a request has to pass on its way to rmcp.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{ALLOW, AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER},
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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    HttpError, HttpOptions,
    access::Access,
    body::{self, Call, MAX_BODY},
    challenge::Challenges,
    console,
    origin::{self, Allowed},
    turns::{Busy, Turn, Turns},
};
use crate::{
    mcp::{may_call, needed},
    model::{Caller, Scope, Scopes},
    telemetry::meter,
};

/// Sessions of protocols before 2026-07-28; rmcp has no limit of its own.
const MAX_SESSIONS: usize = 1024;

/// Sessions of one caller, so that one whose client begins them without end leaves the others theirs.
const MAX_SESSIONS_OF_ONE: usize = MAX_SESSIONS / 2;

/// How long an idle session lives. rmcp's 5 min would end those of people who think, and few clients
/// begin a new one by themselves.
const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);

/// Says whose page a browser's request comes from (W3C Fetch Metadata).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Names the session of a client before 2026-07-28.
const SESSION: &str = "mcp-session-id";

/// The checks, and what they compare with.
#[derive(Clone)]
pub(super) struct Guard(Arc<Inner>);

struct Inner {
    allowed: Arc<Allowed>,
    access: Access,
    challenges: Challenges,
    turns: Turns,
    sessions: Arc<LocalSessionManager>,
    /// Who began each session; plain, since no await happens under it.
    owners: Mutex<HashMap<String, Caller>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// A refusal in plain text.
fn refuse(status: StatusCode, text: &'static str) -> Response {
    (status, text).into_response()
}

/// Asks to come again; `reason` is what it is counted as.
pub(super) fn busy(text: &'static str, reason: &'static str) -> Response {
    meter::http_refused(reason);
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
}

fn later(text: &'static str, reason: &'static str) -> Response {
    meter::http_refused(reason);
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")], text).into_response()
}

impl Guard {
    /// `public` is the server's URL without a path.
    pub(super) fn new(options: &HttpOptions, allowed: Allowed, public: &str) -> Result<Self, HttpError> {
        let mut sessions = LocalSessionManager::default();
        sessions.session_config.keep_alive = Some(SESSION_IDLE);
        Ok(Self(Arc::new(Inner {
            allowed: Arc::new(allowed),
            access: Access::new(options, &format!("{public}/mcp"))?,
            challenges: Challenges::new(public, options.issuer.as_ref().map(|issuer| issuer.url.clone())),
            turns: Turns::new(),
            sessions: Arc::new(sessions),
            owners: Mutex::default(),
        })))
    }

    /// One permit for each call that may be under way.
    pub(super) fn calls(&self) -> Arc<Semaphore> {
        self.0.turns.permits()
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
        let offered = {
            let handler = handler.clone();
            Offered(Arc::new(move |tool: &str| handler.get_tool(tool).is_some()))
        };
        let mcp =
            StreamableHttpService::new(move || Ok(handler.clone()), Arc::clone(&self.0.sessions), config);
        let (allowed, challenges) = (Arc::clone(&self.0.allowed), self.0.challenges.router());
        let calls = Router::new()
            .route_service("/mcp", mcp)
            .layer(middleware::from_fn_with_state((self, offered), call));
        named(calls.merge(open).merge(challenges), allowed)
    }

    /// Puts pages behind the bearer token, without a turn: they are to answer when all turns are taken.
    pub(super) fn for_callers(&self, pages: Router) -> Router {
        pages.layer(middleware::from_fn_with_state(self.clone(), known))
    }
}

/// Lets a request pass whose caller is known; a provider's token without a scope of ours may be anybody's.
async fn known(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.0.access.caller(request.headers()).await {
        Err(denied) => guard.0.challenges.denied(denied),
        Ok(caller) if caller.rights.scopes.is_empty() => {
            guard.0.challenges.insufficient(Scopes::default().with(Scope::MetricsRead))
        }
        Ok(_) => next.run(request).await,
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
            meter::http_refused("host");
            return refuse(
                StatusCode::FORBIDDEN,
                "this Host is not allowed here; see [http] allowed_hosts and public_url",
            );
        }
        Some(_) => {}
    }
    let mut origins = request.headers().get_all(ORIGIN).iter();
    let own = |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| allowed.origin(origin)) || is_own_form(origin, &request)
    };
    if !origins.all(own) || is_foreign_form(&request) {
        tracing::debug!(http.refused = "origin", "refused a request");
        meter::http_refused("origin");
        return refuse(StatusCode::FORBIDDEN, "this Origin is not allowed here; see [http] allowed_origins");
    }
    next.run(request).await
}

/// Whether a browser says that a page of the console sends its form.
///
/// Those pages forbid every referrer, and so their forms come with `Origin: null`. `Sec-Fetch-Site`
/// cannot be written by a page, and tells another site, port or frame apart.
fn is_own_form(origin: &HeaderValue, request: &Request) -> bool {
    let mut sites = request.headers().get_all(SEC_FETCH_SITE).iter();
    origin == "null"
        && request.uri().path().starts_with(console::PATH)
        && sites.next().is_some_and(|site| site == "same-origin")
        && sites.next().is_none()
}

/// Whether a browser says that a page of another site sends one of the console's forms.
fn is_foreign_form(request: &Request) -> bool {
    let ours = |site: &HeaderValue| site == "same-origin" || site == "none";
    *request.method() == Method::POST
        && request.uri().path().starts_with(console::PATH)
        && !request.headers().get_all(SEC_FETCH_SITE).iter().all(ours)
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

/// Whether the server has a tool of this name at all.
#[derive(Clone)]
struct Offered(Arc<dyn Fn(&str) -> bool + Send + Sync>);

/// Lets a call of `/mcp` pass whose caller is known, may make it, and that is well-formed.
async fn call(
    State((guard, offered)): State<(Guard, Offered)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match guard.0.access.caller(request.headers()).await {
        Ok(caller) => caller,
        Err(denied) => return guard.0.challenges.denied(denied),
    };
    if !caller.rights.scopes.open_mcp() {
        return guard.0.challenges.insufficient(Scopes::TOOLS);
    }
    // Handlers see the headers; the token is no business of theirs.
    request.headers_mut().remove(AUTHORIZATION);
    guard.hide_foreign_session(&caller, request.headers_mut());
    request.extensions_mut().insert(caller.clone());
    let turn = match guard.0.turns.enter(&caller.name) {
        Ok(turn) => turn,
        Err(Busy::Server) => return busy("too many calls at once", "calls"),
        Err(Busy::Caller) => return later("too many calls of this caller at once", "calls_of_caller"),
    };
    let response = match *request.method() {
        Method::POST => post(&guard, &offered, caller, request, next).await,
        Method::GET | Method::DELETE if !request.headers().contains_key(SESSION) => {
            (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], "this needs a session").into_response()
        }
        // A stream for notifications stays open: it is no call under way.
        _ => return next.run(request).await,
    };
    hold(response, turn)
}

async fn post(guard: &Guard, offered: &Offered, caller: Caller, request: Request, next: Next) -> Response {
    let Call { request, id, is_initialize, tool } = match body::read(request).await {
        Ok(call) => call,
        Err(fault) => return fault.into_response(),
    };
    let scopes = caller.rights.scopes;
    if let Some(tool) = tool.filter(|tool| !may_call(tool, scopes) && (offered.0)(tool)) {
        return guard.0.challenges.insufficient(needed(&tool, scopes));
    }
    if is_initialize && let Some(full) = guard.full(&caller).await {
        return busy(full, "sessions");
    }
    let response = next.run(request).await;
    if is_initialize {
        guard.own_session(caller, response.headers()).await;
    }
    body::answer(response, id)
}

impl Guard {
    /// Why there is no room for one more session of a caller.
    async fn full(&self, caller: &Caller) -> Option<&'static str> {
        let sessions = self.0.sessions.sessions.read().await;
        if sessions.len() >= MAX_SESSIONS {
            return Some("too many sessions");
        }
        let owners = self.0.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = |id: &String| sessions.contains_key(id.as_str());
        let own = owners.iter().filter(|(id, owner)| owner.is(caller) && lives(id)).count();
        (own >= MAX_SESSIONS_OF_ONE).then_some("too many sessions of this caller")
    }

    /// Notes who began a session.
    async fn own_session(&self, caller: Caller, headers: &HeaderMap) {
        let Some(id) = headers.get(SESSION).and_then(|id| id.to_str().ok()) else { return };
        let sessions = self.0.sessions.sessions.read().await;
        let mut owners = self.0.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= MAX_SESSIONS {
            // Sessions that ended leave nothing behind but this.
            owners.retain(|id, _| sessions.contains_key(id.as_str()));
        }
        owners.insert(id.to_owned(), caller);
    }

    /// Makes another caller's session as unknown as one that never was (guardrails T33).
    fn hide_foreign_session(&self, caller: &Caller, headers: &mut HeaderMap) {
        let Some(id) = headers.get(SESSION).and_then(|id| id.to_str().ok()) else { return };
        let owners = self.0.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let foreign = owners.get(id).is_some_and(|owner| !owner.is(caller));
        drop(owners);
        if foreign {
            headers.insert(SESSION, HeaderValue::from_static("of-another-caller"));
        }
    }
}

/// Keeps the turn until a streamed answer ends; one that is whole needs it no longer.
fn hold(response: Response, turn: Turn) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &turn;
            frame
        }))
    })
}
