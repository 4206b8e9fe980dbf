//! Where spans go, by the names that OpenTelemetry gives such settings.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::reader::Reader;
use crate::telemetry::TraceSettings;

/// One collector for everything that a program exports; the path of each kind is appended.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The same for traces alone, taken as it stands.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PATH: &str = "/v1/traces";

const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// How long a batch may take, as OpenTelemetry has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads where spans go; nowhere unless a collector is named.
pub(super) fn traces(reader: &mut Reader<'_>, extra_ca: Option<&String>) -> Option<TraceSettings> {
    let off = reader.standard("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || reader.standard("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
    if off {
        return None;
    }
    let endpoint = endpoint(reader)?;
    for name in PROTOCOLS {
        if reader.standard(name).is_some_and(|protocol| protocol != "http/protobuf") {
            reader.problem(name, "expected http/protobuf, the one protocol that this server exports by");
        }
    }
    Some(TraceSettings {
        endpoint,
        headers: headers(reader),
        timeout: timeout(reader),
        service_name: reader.standard("OTEL_SERVICE_NAME"),
        extra_ca: extra_ca.cloned(),
    })
}

fn endpoint(reader: &mut Reader<'_>) -> Option<String> {
    let (name, text, path) = match reader.standard(TRACES_ENDPOINT) {
        Some(text) => (TRACES_ENDPOINT, text, ""),
        None => (ENDPOINT, reader.standard(ENDPOINT)?, PATH),
    };
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => {
            Some(format!("{}{path}", text.trim_end_matches('/')))
        }
        Some(_) => {
            reader.problem(name, "a URL here holds no user name or password; see OTEL_EXPORTER_OTLP_HEADERS");
            None
        }
        None => {
            reader.problem(name, "expected a URL such as http://localhost:4318");
            None
        }
    }
}

/// Name=value pairs with commas between, each value percent-encoded.
fn headers(reader: &mut Reader<'_>) -> Vec<(String, SecretString)> {
    let Some((name, text)) = HEADERS.into_iter().find_map(|name| Some((name, reader.standard_secret(name)?)))
    else {
        return Vec::new();
    };
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let read: Option<Vec<_>> = pairs.map(pair).collect();
    read.unwrap_or_else(|| {
        reader.problem(name, "expected name=value pairs with commas between, the values percent-encoded");
        Vec::new()
    })
}

fn pair(text: &str) -> Option<(String, SecretString)> {
    let (name, value) = text.split_once('=')?;
    let name: http::HeaderName = name.trim().parse().ok()?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    http::HeaderValue::from_str(&value).ok()?;
    Some((name.to_string(), value.into_owned().into()))
}

fn timeout(reader: &mut Reader<'_>) -> Duration {
    let Some((name, text)) = TIMEOUTS.into_iter().find_map(|name| Some((name, reader.standard(name)?)))
    else {
        return TIMEOUT;
    };
    match text.parse() {
        Ok(millis @ 1..=600_000) => Duration::from_millis(millis),
        _ => {
            reader.problem(name, "expected milliseconds, from 1 to 600000");
            TIMEOUT
        }
    }
}
