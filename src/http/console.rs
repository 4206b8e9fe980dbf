//! `/console`: the pages on which approvers look and decide.
//!
//! Plain forms, no script. Nothing about a person is shown, and not even whether an operation
//! exists, before an approver proved themself. A session lets them read for a while; each decision
//! needs a proof of its own. A GET changes nothing (guardrails T21).

mod attempts;
mod decision;
mod page;
mod password;
mod provider;
mod session;
mod sign_in;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, LOCATION,
            REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::{HttpError, origin};
use crate::{
    lifecycle::{Failure, Lifecycle, Policy, Records},
    model::OperationId,
};
use attempts::{Attempt, Attempts};
use page::{Overview, Way};
use provider::Desk;
use session::Jar;

pub use provider::Provider;

/// Where it is.
pub const PATH: &str = "/console";

/// Largest form, in bytes.
const MAX_FORM: usize = 16 * 1024;

/// Longest that a form may take to come (guardrails F39).
const PATIENCE: Duration = Duration::from_secs(30);

/// Recent operations on one page.
const RECENT: u32 = 25;

/// What the pages may do: nothing but show themselves and send their forms here.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (CACHE_CONTROL, "no-store"),
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
    /// The tenant of this server, whose budget is shown.
    pub tenant: Option<Lifecycle>,
    /// Where approvers sign in instead of giving codes on these pages.
    pub provider: Option<Provider>,
}

/// How the console is reached.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The URL that people use, without a path.
    pub(super) url: String,
    /// By TLS, here or at a proxy.
    pub(super) secure: bool,
    /// A proxy in front writes who asks.
    pub(super) behind_proxy: bool,
}

/// What the pages share.
#[derive(Debug)]
struct Room {
    console: Console,
    site: Site,
    jar: Jar,
    attempts: Attempts,
    desk: Option<Arc<Desk>>,
}

type Shared = State<Arc<Room>>;
type Peer = ConnectInfo<SocketAddr>;

/// What a form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    approver: String,
    code: String,
    pass: String,
    decision: String,
    count: String,
    form: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    operation: Option<String>,
    before: Option<String>,
}

/// Its pages.
///
/// # Errors
/// [`HttpError::Setting`]: a public URL or certificates with which no provider can be reached.
pub(super) fn router(console: Console, site: Site) -> Result<Router, HttpError> {
    let back = format!("{}/console/signed-in", site.url);
    let desk = console.provider.clone().map(|provider| Desk::new(provider, back)).transpose()?;
    let (jar, attempts, secure) = (Jar::new(site.secure), Attempts::default(), site.secure);
    let room = Room { console, site, jar, attempts, desk: desk.map(Arc::new) };
    let pages = Router::new()
        .route(PATH, get(front))
        .route("/console/", get(|| async { Redirect::permanent(PATH) }))
        .route("/console/style.css", get(style))
        .route("/console/sign-in", get(sign_in::leave).post(sign_in::by_code))
        .route("/console/signed-in", get(sign_in::arrive))
        .route("/console/sign-out", post(sign_in::out))
        .route("/console/{operation}", get(look).post(decision::take))
        .route(password::PATH, get(password::sign_in).post(password::show))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(RequestBodyTimeoutLayer::new(PATIENCE))
        .layer(middleware::from_fn_with_state(secure, protected))
        .with_state(Arc::new(room));
    Ok(pages)
}

async fn protected(State(secure): State<bool>, request: Request, next: Next) -> Response {
    let policy = (REFERRER_POLICY, referrer_policy(secure, request.headers()));
    let mut response = next.run(request).await;
    for (name, value) in HEADERS.into_iter().chain([policy]) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// None at all, where a browser then says by `Sec-Fetch-Site` whose page sends a form.
///
/// It does so over TLS and on loopback. Elsewhere it would send the forms with `Origin: null` and no
/// more, and other sites see nothing of `same-origin` either.
fn referrer_policy(secure: bool, headers: &HeaderMap) -> &'static str {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if secure || host.is_some_and(origin::is_loopback) { "no-referrer" } else { "same-origin" }
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("console/style.css"))
}

/// The overview for a viewer; for anybody else the ways in.
async fn front(
    State(room): Shared,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let read = |text: Option<String>| text.and_then(|text| text.trim().parse::<OperationId>().ok());
    if let Some(id) = read(wanted.operation) {
        return Ok(see(&format!("{PATH}/{id}")));
    }
    let Some(viewer) = room.viewer(&headers).await? else { return Ok(room.front(StatusCode::OK, None)) };
    let overview = room.overview(read(wanted.before)).await.map_err(failed)?;
    let page = page::overview(&room.greeting(&viewer), &overview);
    Ok(room.to(&viewer, page))
}

/// An operation for a viewer; for anybody else the question who they are, whatever the operation.
async fn look(
    State(room): Shared,
    Path(operation): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let id = read(&operation)?;
    match room.viewer(&headers).await? {
        Some(viewer) => room.shown(&viewer, &id, StatusCode::OK, None).await,
        None => Ok(room.who(&id, StatusCode::OK, None)),
    }
}

const WRONG: &str = "Wrong name or code, or the code was used already.";
const OVER: &str = "This sign-in is over: nothing was done.";

fn locked(until: jiff::Timestamp) -> String {
    format!("Too many wrong codes: try again after {until:.0}.")
}

/// Whether a form lacks name or code: nothing is looked at, and nothing counted.
fn is_blank(name: &str, code: &str) -> bool {
    name.trim().is_empty() || code.trim().is_empty()
}

fn see(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}

/// An operation's id, or the page that says there is none.
fn read(text: &str) -> Result<OperationId, Response> {
    let none = || (StatusCode::NOT_FOUND, page::note("There is no such page.", None)).into_response();
    text.parse().map_err(|()| none())
}

impl Room {
    fn way(&self) -> Way {
        if self.desk.is_some() { Way::Provider } else { Way::Code }
    }

    /// The front page of whoever is not signed in.
    fn front(&self, status: StatusCode, why: Option<&str>) -> Response {
        (status, page::front(self.way(), why)).into_response()
    }

    /// Asks who it is, before anything of an operation is shown.
    fn who(&self, id: &OperationId, status: StatusCode, why: Option<&str>) -> Response {
        (status, page::sign_in(self.way(), id, why)).into_response()
    }

    /// Begins an attempt of the client's address; whoever looks at the code says if it was wrong.
    fn attempt(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<Attempt, Response> {
        let from = attempts::origin(peer, headers, self.site.behind_proxy);
        let wait = match self.attempts.begin(from) {
            Ok(attempt) => return Ok(attempt),
            Err(wait) => wait,
        };
        let minutes = wait.as_secs().div_ceil(60).max(1);
        let more = format!("Too many wrong codes came from your address. Try again in {minutes} minutes.");
        let page = page::note("Too many attempts", Some(&more));
        let retry = [(RETRY_AFTER, wait.as_secs().saturating_add(1).to_string())];
        Err((StatusCode::TOO_MANY_REQUESTS, retry, page).into_response())
    }

    async fn overview(&self, before: Option<OperationId>) -> Result<Overview, Failure> {
        let records = &self.console.records;
        let budget = match &self.console.tenant {
            Some(tenant) => tenant.budget().await,
            None => Vec::new(),
        };
        Ok(Overview {
            budget,
            waiting: records.undecided_operations().await?,
            unactivated: records.unactivated_operations().await?,
            recent: records.operation_page(before.as_ref(), RECENT).await?,
            is_first: before.is_none(),
        })
    }
}

fn failed(failure: Failure) -> Response {
    use crate::lifecycle::Code;
    let status = match failure.code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Forbidden | Code::Conflict => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, page::note(&page::sentence(&failure.message), Some(&page::sentence(&failure.next))))
        .into_response()
}
