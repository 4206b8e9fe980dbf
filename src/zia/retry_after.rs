//! How long a 429 asks to wait, in all its forms.

use std::time::Duration;

use http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::Value;

use crate::model::{Per, Window};

/// Waits when nothing readable is said.
const LEAST: Duration = Duration::from_secs(1);
/// No window of the limits is longer than an hour (zia-facts §5).
const MOST: Duration = Duration::from_secs(3600);

/// The wait a 429 asks for, from 1 second to 1 hour.
///
/// The header and the body's field count before the gateway's `x-ratelimit-reset`, which belongs to
/// another bucket (zia-facts §2, §5). The largest counts. A date is measured from the reply's own
/// `Date`, so that a wrong clock here does not matter.
pub(super) fn wait(headers: &HeaderMap, body: &[u8], now: Timestamp) -> Duration {
    let now = texts(headers, header::DATE.as_str()).find_map(date).unwrap_or(now);
    let said = texts(headers, header::RETRY_AFTER.as_str())
        .filter_map(|text| span(text).or_else(|| until(text, now)))
        .chain(body_hint(body))
        .max();
    let gateway = || texts(headers, "x-ratelimit-reset").filter_map(span).max();
    said.or_else(gateway).unwrap_or(LEAST).clamp(LEAST, MOST)
}

/// The limit that a 429 names, as in `Rate Limit (1/SECOND) exceeded` (zia-facts §5).
pub(super) fn lesson(body: &[u8]) -> Option<Window> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return None };
    let said = fields.get("message")?.as_str()?;
    let (_, rest) = said.split_once('(')?;
    let (limit, per) = rest.split_once(')')?.0.split_once('/')?;
    let per = per.trim().to_ascii_lowercase();
    let per = Per::ALL.into_iter().find(|known| per.trim_end_matches('s') == known.as_str())?;
    let limit = limit.trim().parse().ok().filter(|limit| *limit > 0)?;
    Some(Window { limit, per })
}

fn texts<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

fn date(text: &str) -> Option<Timestamp> {
    httpdate::parse_http_date(text.trim()).ok()?.try_into().ok()
}

/// Reads a date; one that is past asks for no wait.
fn until(text: &str, now: Timestamp) -> Option<Duration> {
    Some(date(text)?.duration_since(now).try_into().unwrap_or_default())
}

/// Reads `{"Retry-After": "1 seconds"}`, whatever the case of the name.
fn body_hint(body: &[u8]) -> Option<Duration> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return None };
    let (_, value) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    match value {
        Value::String(text) => span(text),
        Value::Number(number) => span(&number.to_string()),
        _ => None,
    }
}

/// Reads `7`, `7s`, `7 seconds`, `7 minutes`, `7 hours`, in any case.
fn span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).filter(|(number, _)| !number.is_empty())?;
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        _ => return None,
    };
    // Too many digits to hold is surely more than the cap.
    let number = number.parse::<u64>().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(headers: &[(&'static str, &str)], body: &str) -> u64 {
        let now: Timestamp = "2026-03-13T03:28:15Z".parse().unwrap();
        let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        wait(&headers, body.as_bytes(), now).as_secs()
    }

    #[test]
    fn f15_every_form_of_the_header_is_read() {
        for (text, expected) in [
            ("1", 1),
            ("7", 7),
            (" 7 ", 7),
            ("4s", 4),
            ("13 Seconds", 13),
            ("2 MINUTES", 120),
            ("1 minute", 60),
            ("1 hours", 3600),
            ("2 hours", 3600),
            ("Fri, 13 Mar 2026 03:29:15 GMT", 60),
            ("Fri, 13 Mar 2026 03:00:00 GMT", 1),
            ("0", 1),
            ("0 seconds", 1),
            ("-5", 1),
            ("1000000000", 3600),
            ("99999999999999999999999999999999", 3600),
            ("soon", 1),
            ("1,2", 1),
            ("1.5", 1),
            ("", 1),
            ("٣", 1),
        ] {
            let headers = HeaderMap::from_iter([(
                header::RETRY_AFTER,
                http::HeaderValue::from_bytes(text.as_bytes()).unwrap(),
            )]);
            let now = "2026-03-13T03:28:15Z".parse().unwrap();
            assert_eq!(wait(&headers, b"", now).as_secs(), expected, "{text:?}");
        }
    }

    #[test]
    fn f15_the_body_counts_and_the_largest_wins() {
        let body = r#"{"message":"Rate Limit (1/SECOND) exceeded","Retry-After":"5 seconds"}"#;
        assert_eq!(seconds(&[], body), 5);
        assert_eq!(seconds(&[("retry-after", "1")], body), 5);
        assert_eq!(seconds(&[("retry-after", "9")], body), 9);
        assert_eq!(seconds(&[("retry-after", "1"), ("retry-after", "8")], body), 8);
        assert_eq!(seconds(&[], r#"{"retry-after": 12}"#), 12);
        assert_eq!(seconds(&[], r#"{"Retry-After": "3 MINUTES"}"#), 180);
        assert_eq!(seconds(&[], r#"{"Retry-After": [1]}"#), 1);
        assert_eq!(seconds(&[], "<html>"), 1);
    }

    #[test]
    fn f15_the_limit_that_a_429_names_is_read() {
        let said = |message: &str| lesson(serde_json::json!({ "message": message }).to_string().as_bytes());
        let window = |limit, per| Some(Window { limit, per });
        assert_eq!(said("Rate Limit (1/SECOND) exceeded"), window(1, Per::Second));
        assert_eq!(said("Rate Limit (10/MINUTE) exceeded"), window(10, Per::Minute));
        assert_eq!(said("rate limit ( 40 / hours ) exceeded"), window(40, Per::Hour));
        for vague in [
            "",
            "Rate Limit exceeded",
            "Rate Limit (0/SECOND) exceeded",
            "Rate Limit (-1/SECOND) exceeded",
            "Rate Limit (1/DAY) exceeded",
            "Rate Limit (99999999999/HOUR) exceeded",
            "Rate Limit (1/SECOND",
            "Rate Limit (SECOND)",
        ] {
            assert_eq!(said(vague), None, "{vague}");
        }
        assert_eq!(lesson(b"<html>(1/SECOND)</html>"), None);
        assert_eq!(lesson(br#"{"message": 1}"#), None);
    }

    #[test]
    fn the_gateways_reset_counts_only_where_nothing_else_is_said() {
        assert_eq!(seconds(&[("x-ratelimit-reset", "44")], ""), 44);
        assert_eq!(seconds(&[("x-ratelimit-reset", "44"), ("retry-after", "1")], ""), 1);
        assert_eq!(seconds(&[("x-ratelimit-reset", "44")], r#"{"Retry-After":"1 seconds"}"#), 1);
    }

    #[test]
    fn a_date_is_measured_from_the_replys_own_clock() {
        let headers =
            [("date", "Fri, 13 Mar 2026 05:00:00 GMT"), ("retry-after", "Fri, 13 Mar 2026 05:00:30 GMT")];
        assert_eq!(seconds(&headers, ""), 30);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_wait_within_bounds(header in prop::collection::vec(any::<u8>(), 0..40), body: Vec<u8>, text in ".{0,40}") {
            let mut headers = HeaderMap::new();
            for name in ["retry-after", "x-ratelimit-reset", "date"] {
                if let Ok(value) = http::HeaderValue::from_bytes(&header) {
                    headers.append(name, value);
                }
            }
            let json = serde_json::json!({ "Retry-After": text }).to_string();
            for body in [&body[..], json.as_bytes()] {
                let wait = wait(&headers, body, Timestamp::UNIX_EPOCH);
                prop_assert!((LEAST..=MOST).contains(&wait));
            }
        }
    }
}
