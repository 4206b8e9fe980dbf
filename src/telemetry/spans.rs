//! Spans: what took how long, and what came of what, as OpenTelemetry knows it.
//!
//! What a span holds is of small sets that the code fixes, and numbers; the one free value is an
//! operation's id. No name, address, argument, reason, body or secret ever is in one (guardrails I7,
//! T27). Nothing of a trace is told to ZIA. Without an exporter a span is nothing and costs nothing.

use std::{borrow::Cow, future::Future, sync::OnceLock};

use opentelemetry::{
    Context, KeyValue,
    context::{FutureExt as _, WithContext},
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// The longest `traceparent` and `tracestate` that are read (W3C Trace Context §3.2, §3.3).
const LONGEST: usize = 512;

/// What an operation's id is called.
const OPERATION: &str = "zia_mcp.operation.id";

/// Gives the spans of this process to an exporter; the first one counts.
pub(super) fn give_to(tracer: SdkTracer) {
    let _ = TRACER.set(tracer);
}

/// The trace that a caller says its request belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// Its `traceparent`.
    pub traceparent: Option<&'a str>,
    /// Its `tracestate`.
    pub tracestate: Option<&'a str>,
}

impl Extractor for Caller<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        };
        value.filter(|value| value.len() <= LONGEST)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Something that takes time; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Span(Option<Context>);

/// Begins the span of a tool call, within the caller's trace if it names one.
pub fn tool_call(tool: &'static str, caller: Caller<'_>) -> Span {
    let Some(tracer) = TRACER.get() else { return Span(None) };
    let parent = TraceContextPropagator::new().extract(&caller);
    let about = vec![KeyValue::new("mcp.method.name", "tools/call"), KeyValue::new("gen_ai.tool.name", tool)];
    begin(tracer, format!("tools/call {tool}"), SpanKind::Server, about, &parent)
}

/// Begins the span of one step of an operation: `capture`, `send`, `verify` or `activate`.
pub fn step(step: &'static str, action: &'static str, operation: &str) -> Span {
    let Some(tracer) = TRACER.get() else { return Span(None) };
    let id = KeyValue::new(OPERATION, operation.to_owned());
    let about = vec![KeyValue::new("zia_mcp.operation.action", action), id];
    begin(tracer, step, SpanKind::Internal, about, &Context::current())
}

/// Begins the span of a call to ZIA, by method and path template.
pub fn zia_call(endpoint: &'static str) -> Span {
    let Some(tracer) = TRACER.get() else { return Span(None) };
    let (method, template) = endpoint.split_once(' ').unwrap_or(("", endpoint));
    let about = vec![KeyValue::new("http.request.method", method), KeyValue::new("url.template", template)];
    begin(tracer, endpoint, SpanKind::Client, about, &Context::current())
}

fn begin(
    tracer: &SdkTracer,
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    about: Vec<KeyValue>,
    parent: &Context,
) -> Span {
    let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(about);
    Span(Some(parent.with_span(tracer.build_with_context(builder, parent))))
}

impl Span {
    /// Does some work within this span.
    pub fn around<F: Future>(&self, work: F) -> WithContext<F> {
        match &self.0 {
            Some(context) => work.with_context(context.clone()),
            None => work.with_current_context(),
        }
    }

    /// Notes a number.
    pub fn count(&self, name: &'static str, number: i64) {
        self.set(KeyValue::new(name, number));
    }

    /// Notes how it ended, in one word.
    pub fn outcome(&self, word: &'static str) {
        self.set(KeyValue::new("zia_mcp.outcome", word));
    }

    /// Notes that it failed, and of what kind the failure is.
    pub fn failed(&self, kind: &'static str) {
        self.set(KeyValue::new("error.type", kind));
        self.0.iter().for_each(|context| context.span().set_status(Status::error("")));
    }

    fn set(&self, attribute: KeyValue) {
        self.0.iter().for_each(|context| context.span().set_attribute(attribute.clone()));
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // What was begun within it may go on in the background and has its own end.
        self.0.iter().for_each(|context| context.span().end());
    }
}

/// Notes on the span around this call which operation it is about.
pub fn about_operation(id: &str) {
    if TRACER.get().is_some() {
        let context = Context::current();
        context.span().set_attribute(KeyValue::new(OPERATION, id.to_owned()));
    }
}

/// Has work that goes on in a task of its own stay within the span around this call.
pub fn carried<F: Future>(work: F) -> WithContext<F> {
    work.with_current_context()
}
