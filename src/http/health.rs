//! `/healthz` and `/readyz`.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Longest that a check may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the server can do its work, check by check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    ready: bool,
    checks: BTreeMap<&'static str, bool>,
}

impl Readiness {
    /// Ready if every check passed. The names are shown to anyone.
    pub fn new(checks: impl IntoIterator<Item = (&'static str, bool)>) -> Self {
        let checks: BTreeMap<_, _> = checks.into_iter().collect();
        Self { ready: checks.values().all(|passed| *passed), checks }
    }

    /// Whether every check passed.
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}

pub(super) fn router<F, R>(ready: F, shutdown: CancellationToken) -> Router
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Readiness> + Send + 'static,
{
    let readyz = move || {
        let (ready, shutdown) = (ready.clone(), shutdown.clone());
        async move { answer(ready, &shutdown).await }
    };
    Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(readyz))
}

async fn answer<R: Future<Output = Readiness>>(
    ready: impl Fn() -> R,
    shutdown: &CancellationToken,
) -> Response {
    let readiness = if shutdown.is_cancelled() {
        Readiness::new([("serving", false)])
    } else {
        let checked = tokio::time::timeout(PATIENCE, ready()).await;
        checked.unwrap_or_else(|_| Readiness::new([("in_time", false)]))
    };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
