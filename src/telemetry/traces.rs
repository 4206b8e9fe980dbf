//! The export of spans by OTLP, where the operator names a collector.
//!
//! Spans wait in a bounded queue, which drops what does not fit, and leave in batches from a thread of
//! the library's own. What the library reads of the environment by itself are OpenTelemetry's own names
//! for the sampler, the queue and the resource; the rest comes from the settings.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use secrecy::{ExposeSecret, SecretString};

use super::{collector::Collector, spans};

/// How long what waits may take to leave at the end; a collector that is away holds nothing up longer.
const FLUSH: Duration = Duration::from_millis(1_500);

/// How this program is called in a trace, unless the operator names it.
const SERVICE: &str = "zia-mcp";

/// Where spans go.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The whole URL that takes them.
    pub endpoint: String,
    /// Headers of each request, such as a credential.
    pub headers: Vec<(String, SecretString)>,
    /// The longest that one batch may take.
    pub timeout: Duration,
    /// How this server is called there.
    pub service_name: Option<String>,
    /// Root certificates to trust besides the system's, PEM.
    pub extra_ca: Option<String>,
}

/// An exporter that cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "OTEL_EXPORTER_OTLP_ENDPOINT: spans cannot be exported so; expected settings of OTLP over http/protobuf, \
     and root certificates for https"
)]
pub struct TracesError;

/// Exports the spans of this process.
#[derive(Debug)]
#[must_use = "what waits is lost unless the end is told"]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to export; within a Tokio runtime.
    ///
    /// # Errors
    /// [`TracesError`]: settings with which no request can be made.
    pub fn start(settings: &TraceSettings) -> Result<Self, TracesError> {
        let collector = Collector::new(headers(settings)?, settings.timeout, settings.extra_ca.as_deref())?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(&settings.endpoint)
            .with_timeout(settings.timeout)
            .build()
            .map_err(|_| TracesError)?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(settings))
            .with_batch_exporter(exporter)
            .build();
        spans::give_to(provider.tracer(SERVICE));
        Ok(Self(provider))
    }

    /// Sends what waits and ends, within a second and a half.
    pub async fn end(self) {
        // It blocks; and a collector that takes nothing has been told of.
        let _ = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH)).await;
    }
}

fn headers(settings: &TraceSettings) -> Result<HeaderMap, TracesError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let name: HeaderName = name.parse().map_err(|_| TracesError)?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| TracesError)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn resource(settings: &TraceSettings) -> Resource {
    let builder = Resource::builder_empty()
        .with_service_name(SERVICE)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match &settings.service_name {
        Some(name) => builder.with_service_name(name.clone()).build(),
        None => builder.build(),
    }
}
