//! What tells how the server is doing: logs to standard error, counters for `/metrics`, and spans.
//!
//! This room imports nothing, so whoever counts through it reaches nothing by it.
//!
//! What never is logged, at no level: passwords, API keys, tokens, cookies, keys and what is derived
//! from them; request and response bodies and headers, the vendor's and the client's; tool arguments;
//! names, addresses and comments of users. What is logged are fixed texts and fields with dotted
//! names: ids, counts, durations, codes.
//!
//! Two walls help. Types that hold secrets mask themselves, and crates that would log what passes
//! through them (hyper, reqwest, sqlx …) are capped at `warn`, whatever level is asked for; rmcp, which
//! warns of each error with what the client sent, says nothing.
//! A panic is logged with its place only, since its message may hold anything.
//!
//! Writing happens on its own thread and drops lines rather than wait, so that nobody who stops
//! reading standard error stops the server.

mod collector;
mod exposition;
pub mod meter;
pub mod spans;
mod traces;

use std::{
    io::{self, IsTerminal},
    panic::PanicHookInfo,
    str::FromStr,
    sync::OnceLock,
};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

pub use exposition::{BudgetLeft, Format, IndexReading, Operations, Reading, exposition};
pub use traces::{TraceSettings, Traces, TracesError};

/// Lines that may wait for a slow reader; more are dropped.
const WAITING_LINES: usize = 16_384;

/// Counts the lines that were dropped, once there is a log.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the server could not do.
    Error,
    /// What an operator should look at.
    Warn,
    /// What the server did.
    #[default]
    Info,
    /// How it did it.
    Debug,
    /// Every step.
    Trace,
}

impl Level {
    /// Every level, from least to most.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// This level for our crate, at most `warn` for every other, and nothing of rmcp.
    fn filter(self) -> EnvFilter {
        let others = self.min(Self::Warn).as_str();
        EnvFilter::new(format!("{others},rmcp=off,zia_mcp={}", self.as_str()))
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or(())
    }
}

/// Keeps the writer alive; dropping it writes what waits, for at most about a second.
#[derive(Debug)]
#[must_use = "logging stops when this is dropped"]
pub struct Guard(#[allow(dead_code, reason = "held for its drop")] WorkerGuard);

/// How an event is written; either way it is one line (guardrails T10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object, for files and collectors.
    Json,
    /// Plain text, for a person at a terminal.
    Text,
}

impl Shape {
    /// What suits standard error.
    pub fn of_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Starts logging for the whole process and silences the messages of panics.
///
/// A second call in one process changes nothing.
pub fn init(level: Level, shape: Shape) -> Guard {
    let (writer, guard) = never_waiting(io::stderr());
    let _ = DROPPED.set(writer.error_counter());
    let _ = tracing_subscriber::registry().with(layer(level, shape, writer)).try_init();
    std::panic::set_hook(Box::new(log_panic));
    Guard(guard)
}

/// Lines of the log that were dropped so far (guardrails F47).
fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}

fn never_waiting(writer: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES).finish(writer)
}

fn layer<S, W>(level: Level, shape: Shape, writer: W) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: io::Write + Clone + Send + Sync + 'static,
{
    let writer = move || OneLine(writer.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match shape {
        Shape::Text => lines.with_ansi(false).boxed(),
        Shape::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    lines.with_filter(level.filter())
}

/// Keeps each event on one line and without anything that steers a terminal or reorders text.
///
/// Whatever it finds becomes an escape of JSON, so that an object stays one.
struct OneLine<W>(W);

impl<W: io::Write> io::Write for OneLine<W> {
    /// Takes one whole event, as the formatter hands it over.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if line.contains(steers) {
            self.0.write_all(escaped(line).as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Control characters, line ends of Unicode, and those that turn the direction of text or are unseen.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn escaped(line: &str) -> String {
    let mut safe = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if steers(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    safe
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(
        panic.place = place,
        panic.thread = thread.name().unwrap_or("unnamed"),
        "internal fault; this is a bug"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer that keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, log: impl FnOnce()) -> String {
        written(Shape::Json, level, log)
    }

    fn written(shape: Shape, level: Level, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(layer(level, shape, kept.clone()));
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn other_crates_stay_at_warn_even_at_trace_and_rmcp_is_silent() {
        let text = logged(Level::Trace, || {
            tracing::trace!(target: "zia_mcp::zia", "ours");
            tracing::info!(target: "rmcp::service", "canary-body");
            tracing::debug!(target: "hyper_util::client", "canary-header");
            tracing::trace!(target: "reqwest::connect", "canary-cookie");
            tracing::debug!(target: "sqlx::query", "canary-query");
            tracing::error!(target: "rmcp::service", "canary-error, which repeats what a client sent");
            tracing::warn!(target: "hyper_util::client", "heard");
        });
        assert!(text.contains("ours") && text.contains("heard"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn error_silences_the_warnings_of_every_crate() {
        let text = logged(Level::Error, || {
            tracing::warn!(target: "zia_mcp", "ours");
            tracing::warn!(target: "hyper", "theirs");
            tracing::error!(target: "zia_mcp", "grave");
        });
        assert!(text.contains("grave") && !text.contains("ours") && !text.contains("theirs"), "{text}");
    }

    #[test]
    fn line_ends_within_an_event_do_not_begin_new_lines() {
        let forged = "1\r\n2026-01-01T00:00:00Z ERROR forged";
        for shape in [Shape::Json, Shape::Text] {
            let log = || tracing::info!(target: "zia_mcp", id = %forged, name = forged, "{forged}");
            let text = written(shape, Level::Info, log);
            assert_eq!((text.lines().count(), text.matches('\r').count()), (1, 0), "{text}");
        }
    }

    const HOSTILE: &str = "\x1b]52;c;aGk=\x07\x1b[2J\r\u{9b}2J\u{202e}\u{e0041}\" , \"level\":\"ERROR";

    #[test]
    fn t10_no_text_within_an_event_steers_a_terminal() {
        for shape in [Shape::Json, Shape::Text] {
            let log = || tracing::info!(target: "zia_mcp", name = HOSTILE, id = %HOSTILE, "{HOSTILE}");
            let text = written(shape, Level::Info, log);
            assert!(text.trim_end_matches('\n').chars().all(|c| !steers(c)), "{text:?}");
            assert_eq!(text.matches("]52;c;aGk=").count(), 3, "{text}");
        }
    }

    #[test]
    fn t10_an_event_is_a_json_object() {
        let text = logged(Level::Info, || {
            tracing::info!(target: "zia_mcp", status = 409, name = HOSTILE, "{HOSTILE}");
        });
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&event["level"], &event["target"], &event["status"], &event["name"], &event["message"]),
            (&"INFO".into(), &"zia_mcp".into(), &409.into(), &HOSTILE.into(), &HOSTILE.into())
        );
        assert!(event["timestamp"].is_string());
    }

    #[test]
    fn a_panic_is_logged_by_its_place_and_not_by_its_message() {
        let text = logged(Level::Info, || {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let caught = std::panic::catch_unwind(|| panic!("canary-{}", 1));
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        assert!(text.contains("telemetry.rs:") && !text.contains("canary"), "{text}");
    }

    /// A writer that nobody reads from, until it is dropped.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stops_does_not_stop_the_server() {
        let (release, stuck) = std::sync::mpsc::channel();
        let (writer, _guard) = never_waiting(Stuck(stuck));
        let dropped = writer.error_counter();
        let subscriber = tracing_subscriber::registry().with(layer(Level::Info, Shape::Json, writer));
        tracing::subscriber::with_default(subscriber, || {
            (0..WAITING_LINES + 100).for_each(|n| tracing::info!(target: "zia_mcp", n, "line"));
        });
        assert!(dropped.dropped_lines() > 0);
        drop(release);
    }

    #[test]
    fn levels_have_names_and_nothing_else_is_one() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        for bad in ["", "INFO", "off", "zia_mcp=trace", "trace,rmcp=trace"] {
            assert_eq!(bad.parse::<Level>(), Err(()));
        }
    }
}
