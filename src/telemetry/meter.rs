//! Counts and times what happens, for `/metrics`.
//!
//! Every label is one of a small set that the code fixes: endpoints, tools, actions, states, reasons.
//! No user, caller, address or id ever is one (guardrails T18, T27). To count is a look into a small
//! map and an addition, whether anybody reads it or not; so any room may, and there is one set of
//! counters in a process.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Bounds of the time that a request to ZIA or a tool call takes, in seconds.
const CALLS: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Bounds of the time until a verified write is live, in seconds; an activation is watched for a day.
const ACTIVATIONS: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 86_400.0];

/// The name of every series begins so.
pub(super) const PREFIX: &str = "zia_mcp";

static METERS: LazyLock<Meters> = LazyLock::new(Meters::new);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfEndpoint {
    endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    endpoint: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTool {
    tool: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolCall {
    tool: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    action: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Export {
    outcome: &'static str,
}

/// A histogram for each set of labels.
type Times<L> = Family<L, Histogram>;

/// Everything that is counted as it happens.
pub(super) struct Meters {
    pub(super) registry: Registry,
    requests: Family<Request, Counter>,
    request_times: Times<OfEndpoint>,
    waiting: Family<OfEndpoint, Gauge>,
    tool_calls: Family<ToolCall, Counter>,
    tool_times: Times<OfTool>,
    tools_in_flight: Gauge,
    refused: Family<Refused, Counter>,
    ended: Family<Ended, Counter>,
    activations: Histogram,
    trace_exports: Family<Export, Counter>,
}

impl Meters {
    fn new() -> Self {
        let calls = || Histogram::new(CALLS);
        let mut meters = Self {
            registry: Registry::with_prefix(PREFIX),
            requests: Family::default(),
            request_times: Family::new_with_constructor(calls),
            waiting: Family::default(),
            tool_calls: Family::default(),
            tool_times: Family::new_with_constructor(calls),
            tools_in_flight: Gauge::default(),
            refused: Family::default(),
            ended: Family::default(),
            activations: Histogram::new(ACTIVATIONS),
            trace_exports: Family::default(),
        };
        meters.register();
        meters
    }

    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("zia_requests", "Requests sent to ZIA, by how they ended", self.requests.clone());
        let times = "Seconds from a request's leaving to the end of ZIA's answer";
        all.register("zia_request_duration_seconds", times, self.request_times.clone());
        all.register("zia_requests_waiting", "Requests that wait for their turn", self.waiting.clone());
        all.register("tool_calls", "Calls of tools, by how they ended", self.tool_calls.clone());
        all.register(
            "tool_call_duration_seconds",
            "Seconds that calls of tools took",
            self.tool_times.clone(),
        );
        all.register("tool_calls_in_flight", "Calls of tools under way", self.tools_in_flight.clone());
        all.register("http_refused", "Requests and connections that were turned away", self.refused.clone());
        all.register("operations_ended", "Operations that this process ended", self.ended.clone());
        let delay = "Seconds from a write's being verified to its being read as active";
        all.register("activation_delay_seconds", delay, self.activations.clone());
        all.register("trace_exports", "Batches of spans, by how they ended", self.trace_exports.clone());
    }
}

pub(super) fn meters() -> &'static Meters {
    &METERS
}

/// Makes known which endpoints there are, so that their counts begin with 0.
pub fn zia_endpoints(names: impl IntoIterator<Item = &'static str>) {
    for endpoint in names {
        drop(METERS.waiting.get_or_create(&OfEndpoint { endpoint }));
        for outcome in ["ok", "rate_limited"] {
            drop(METERS.requests.get_or_create(&Request { endpoint, outcome }));
        }
    }
}

/// A request that waits for its turn, until this is dropped.
#[derive(Debug)]
#[must_use = "it counts while it is held"]
pub struct Waiting(&'static str);

/// Counts a request as waiting for its turn.
pub fn zia_waiting(endpoint: &'static str) -> Waiting {
    METERS.waiting.get_or_create(&OfEndpoint { endpoint }).inc();
    Waiting(endpoint)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        METERS.waiting.get_or_create(&OfEndpoint { endpoint: self.0 }).dec();
    }
}

/// A request that left; counted when this is dropped.
#[derive(Debug)]
#[must_use = "it is counted when it ends"]
pub struct ZiaRequest {
    endpoint: &'static str,
    outcome: &'static str,
    began: Instant,
}

/// Begins to time a request to ZIA, which counts as `abandoned` until its end is told.
pub fn zia_request(endpoint: &'static str) -> ZiaRequest {
    ZiaRequest { endpoint, outcome: "abandoned", began: Instant::now() }
}

impl ZiaRequest {
    /// Tells how it ended, in one of a few words.
    pub fn ended(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for ZiaRequest {
    fn drop(&mut self) {
        let Self { endpoint, outcome, began } = *self;
        METERS.requests.get_or_create(&Request { endpoint, outcome }).inc();
        let took = began.elapsed().as_secs_f64();
        METERS.request_times.get_or_create(&OfEndpoint { endpoint }).observe(took);
    }
}

/// A call of a tool under way; counted when this is dropped.
#[derive(Debug)]
#[must_use = "it is counted when it ends"]
pub struct ToolCallUnderWay {
    tool: &'static str,
    outcome: &'static str,
    began: Instant,
}

/// Begins to time a call of a tool, which counts as `cancelled` until its end is told.
pub fn tool_call(tool: &'static str) -> ToolCallUnderWay {
    METERS.tools_in_flight.inc();
    ToolCallUnderWay { tool, outcome: "cancelled", began: Instant::now() }
}

impl ToolCallUnderWay {
    /// Tells how it ended: `ok`, an error's code, or another word of a few.
    pub fn ended(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for ToolCallUnderWay {
    fn drop(&mut self) {
        let Self { tool, outcome, began } = *self;
        METERS.tools_in_flight.dec();
        METERS.tool_calls.get_or_create(&ToolCall { tool, outcome }).inc();
        METERS.tool_times.get_or_create(&OfTool { tool }).observe(began.elapsed().as_secs_f64());
    }
}

/// Counts a request or connection that was turned away.
pub fn http_refused(reason: &'static str) {
    METERS.refused.get_or_create(&Refused { reason }).inc();
}

/// Counts an operation that ended.
pub fn operation_ended(action: &'static str, outcome: &'static str) {
    METERS.ended.get_or_create(&Ended { action, outcome }).inc();
}

/// Notes how long a verified write waited until it was active.
pub fn activated_after(delay: Duration) {
    METERS.activations.observe(delay.as_secs_f64());
}

/// Counts a batch of spans that was sent to a collector.
pub(super) fn trace_export(outcome: &'static str) {
    METERS.trace_exports.get_or_create(&Export { outcome }).inc();
}
