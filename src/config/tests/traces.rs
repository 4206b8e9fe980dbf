//! Where traces go.

use super::*;

#[test]
fn spans_go_where_the_standard_variables_say_and_nowhere_without_them() {
    let traces = |more: &[(&str, &str)]| load(&[&API_KEY, more].concat()).unwrap().traces;
    assert!(traces(&[]).is_none());
    assert!(traces(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_none());
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
    let to = |more: &[(&str, &str)]| traces(&[&[general], more].concat()).map(|traces| traces.endpoint);
    assert_eq!(to(&[]).as_deref(), Some("http://collector:4318/v1/traces"));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/x");
    assert_eq!(to(&[own]).as_deref(), Some("https://collector/x"));
    assert_eq!(to(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", " ")]), to(&[]), "an empty one is not set");
    assert_eq!((to(&[("OTEL_SDK_DISABLED", "TRUE")]), to(&[("OTEL_TRACES_EXPORTER", "none")])), (None, None));
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-1, x-team = a%2Cb,");
    let settings = traces(&[general, headers, ("OTEL_EXPORTER_OTLP_TIMEOUT", "250")]).unwrap();
    let shown: Vec<_> = settings.headers.iter().map(|(n, v)| (n.as_str(), v.expose_secret())).collect();
    assert_eq!(shown, [("authorization", "Bearer canary-1"), ("x-team", "a,b")]);
    assert_eq!(settings.timeout, Duration::from_millis(250));
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn settings_by_which_no_span_could_leave_are_refused() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://canary@collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=canary%0Ax"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let told = told(load(&[&API_KEY[..], &[endpoint, (name, value)]].concat()));
        assert!(told.contains(name), "{name}: {told}");
    }
}
