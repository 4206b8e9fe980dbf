//! `/metrics`, for Prometheus and whatever else reads its text.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::Mutex;

use crate::{
    lifecycle::Lifecycle,
    telemetry::{Format, Reading, exposition},
};

/// Where it is.
const PATH: &str = "/metrics";

/// How long one reading of the store serves whoever asks: many who watch are one query.
const FRESH: Duration = Duration::from_secs(1);

struct Watch {
    lifecycle: Lifecycle,
    /// Held while the store is read, so that those who wait share what is read.
    last: Mutex<Option<(Instant, Reading)>>,
}

pub(super) fn router(lifecycle: Lifecycle) -> Router {
    let watch = Watch { lifecycle, last: Mutex::default() };
    Router::new().route(PATH, get(page)).with_state(Arc::new(watch))
}

async fn page(State(watch): State<Arc<Watch>>, headers: HeaderMap) -> Response {
    let format = format(&headers);
    let Ok(text) = exposition(&watch.reading().await, format) else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response();
    };
    ([(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")], text).into_response()
}

/// OpenMetrics for whoever names it, else the format that everybody reads.
fn format(headers: &HeaderMap) -> Format {
    let names = |value: &axum::http::HeaderValue| {
        value.to_str().is_ok_and(|accepted| accepted.contains("application/openmetrics-text"))
    };
    if headers.get_all(ACCEPT).iter().any(names) { Format::OpenMetrics } else { Format::Plain }
}

impl Watch {
    async fn reading(&self) -> Reading {
        let mut last = self.last.lock().await;
        if let Some((_, reading)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return reading.clone();
        }
        let reading = self.lifecycle.reading().await;
        *last = Some((Instant::now(), reading.clone()));
        reading
    }
}
