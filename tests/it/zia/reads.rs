//! Reading: repeats, limits, and what counts as an answer.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::Instant,
};
use zia_mcp::{
    model::Clock,
    zia::{Deadline, Kind, Landed, Limits, ListQuery, Phase, Settings, Timeouts, UserQuery, Zia},
};

use super::tenant::*;

const STATUS: &str = "GET /api/v1/status";
const USERS: &str = "GET /api/v1/users";

/// gzip with one stored block, so that no compressor is needed.
fn gzip(body: &[u8]) -> Vec<u8> {
    let crc = !body.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    });
    let length = u16::try_from(body.len()).unwrap();
    let head: &[u8] = &[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF, 1];
    let tail = [crc.to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [head, &length.to_le_bytes(), &(!length).to_le_bytes(), body, &tail].concat()
}

#[tokio::test]
async fn a_query_reaches_the_wire_without_a_plus() {
    let tenant = Tenant::signing_in(|_| json(200, "[]")).await;
    let zia = tenant.client();
    let query = UserQuery { name: Some("Zoë van + Dam".into()), ..UserQuery::default() };
    assert!(zia.users(&query, soon()).await.unwrap().is_empty());
    assert_eq!(tenant.seen(USERS)[0].query, "name=Zo%C3%AB%20van%20%2B%20Dam&page=1&pageSize=100");
    zia.departments(&ListQuery::default(), soon()).await.unwrap();
    assert_eq!(tenant.seen("GET /api/v1/departments")[0].query, "page=1&pageSize=100");
}

#[tokio::test]
async fn the_vendors_own_bytes_of_each_user_are_kept() {
    let rows = r#"{"id": 1 , "name":"A\u0020B","zzz":[1, 2]}"#;
    let tenant = Tenant::signing_in(move |_| json(200, &format!("[{rows},\n{{\"id\":2}}]"))).await;
    let users = tenant.client().users(&UserQuery::default(), soon()).await.unwrap();
    assert_eq!((users[0].raw.get(), users[1].raw.get()), (rows, r#"{"id":2}"#));
    assert_eq!(users[0].value.name.as_deref(), Some("A B"));
}

#[tokio::test]
async fn f16_a_read_is_repeated_after_passing_failures_and_then_given_up() {
    let failures: [(fn() -> Answer, Kind); 7] = [
        (|| Answer::Drop, Kind::Unreachable),
        (|| json(500, ""), Kind::Server),
        (|| page(502), Kind::Server),
        (|| json(503, r#"{"message":"maintenance"}"#), Kind::Server),
        (
            || Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n[{\"id\":1}".to_vec()),
            Kind::Garbled,
        ),
        (|| json(200, r#"[{"id":1}"#), Kind::Garbled),
        (|| reply(200, "content-encoding: gzip\r\n", &gzip(b"[]")[..12]), Kind::Garbled),
    ];
    for (failure, kind) in failures {
        let tenant =
            Tenant::signing_in(move |seen| if seen.nth < 2 { failure() } else { json(200, "[]") }).await;
        tenant.client().users(&UserQuery::default(), soon()).await.unwrap();
        assert_eq!(tenant.count(USERS), 3, "{kind:?}");

        let tenant = Tenant::signing_in(move |_| failure()).await;
        let error = tenant.client().users(&UserQuery::default(), soon()).await.unwrap_err();
        assert_eq!((&error.kind, error.attempts, error.landed), (&kind, 3, Landed::No));
        assert_eq!((tenant.count(USERS), tenant.count(SIGN_IN)), (3, 1));
    }
}

#[tokio::test]
async fn what_will_not_change_is_asked_once() {
    let finals: [(fn() -> Answer, Kind); 12] = [
        (|| page(200), Kind::Garbled),
        (|| page(302), Kind::Garbled),
        (|| page(403), Kind::Garbled),
        (|| page(404), Kind::Garbled),
        (|| reply(404, "", b""), Kind::Garbled),
        (|| json(200, "{}"), Kind::Garbled),
        (|| json(200, r#"[{"name":"no id"}]"#), Kind::Garbled),
        (|| json(404, r#"{"code":"RESOURCE_NOT_FOUND","message":"x"}"#), Kind::NotFound),
        (|| json(400, r#"{"message":"Request body is invalid."}"#), Kind::Refused),
        (|| json(401, r#"{"code":"AUTHENTICATION_FAILED"}"#), Kind::Refused),
        (|| json(403, r#"{"code":"SCOPE_LIMITED"}"#), Kind::Forbidden),
        (|| json(403, r#"{"code":"STATE_READONLY"}"#), Kind::ReadOnly),
    ];
    for (answer, kind) in finals {
        let tenant = Tenant::signing_in(move |_| answer()).await;
        let error = tenant.client().users(&UserQuery::default(), soon()).await.unwrap_err();
        assert_eq!((error.kind, tenant.count(USERS)), (kind, 1));
    }
}

#[tokio::test]
async fn t17_a_redirect_is_not_followed_and_the_cookie_stays() {
    let elsewhere = Tenant::start(|_| json(200, "[]")).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("location: {}/api/v1/users\r\n", elsewhere.url);
        let tenant = Tenant::signing_in(move |_| reply(status, &to, b"")).await;
        let error = tenant.client().users(&UserQuery::default(), soon()).await.unwrap_err();
        assert_eq!((error.kind, tenant.count(USERS)), (Kind::Garbled, 1));

        let to = format!("location: {}/api/v1/authenticatedSession\r\n", elsewhere.url);
        let tenant = Tenant::start(move |_| reply(status, &to, b"")).await;
        assert_eq!(tenant.client().sign_in(soon()).await.unwrap_err().kind, Kind::Garbled);
    }
    assert_eq!(elsewhere.total(), 0);
}

#[tokio::test]
async fn gzip_is_understood() {
    let body = gzip(br#"{"status":"PENDING"}"#);
    let tenant = Tenant::signing_in(move |_| reply(200, "content-encoding: gzip\r\n", &body)).await;
    tenant.client().status(soon()).await.unwrap();
}

#[tokio::test]
async fn an_overlong_answer_is_not_read_to_its_end() {
    let tenant =
        Tenant::signing_in(|_| json(200, &format!(r#"{{"status":"ACTIVE"{}}}"#, " ".repeat(2 << 20)))).await;
    assert_eq!(tenant.client().status(soon()).await.unwrap_err().kind, Kind::Garbled);
    assert_eq!(tenant.count(STATUS), 1);
}

#[tokio::test]
async fn f17_a_silent_or_dripping_tenant_is_given_up_in_time() {
    let limits = || Timeouts {
        read_header: Duration::from_millis(150),
        idle: Duration::from_millis(150),
        total: Duration::from_millis(400),
        ..quick()
    };
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
    const LONG: Duration = Duration::from_secs(30);
    let silences: [(fn() -> Answer, Phase); 4] = [
        (|| Answer::After(LONG, Box::new(active())), Phase::Headers),
        (|| Answer::Drip(b"", HEAD, Duration::from_millis(50)), Phase::Headers),
        (|| Answer::Drip(HEAD, b"{", LONG), Phase::Body),
        (|| Answer::Drip(HEAD, &[b' '; 100], Duration::from_millis(50)), Phase::Body),
    ];
    for (silence, phase) in silences {
        let tenant =
            Tenant::start(move |seen| if seen.call == SIGN_IN { signed_in("A1") } else { silence() }).await;
        let zia = tenant.client_with(|s| s.with_timeouts(limits()));
        let start = Instant::now();
        let error = zia.status(soon()).await.unwrap_err();
        assert_eq!((&error.kind, error.phase), (&Kind::TimedOut, Some(phase)), "{error}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_read_ends_with_its_callers_deadline() {
    let tenant = Tenant::signing_in(|_| Answer::After(Duration::from_secs(30), Box::new(active()))).await;
    let zia = tenant.client();
    zia.sign_in(soon()).await.unwrap();
    let start = Instant::now();
    let error = zia.status(Deadline::after(Duration::from_millis(100))).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (Kind::TimedOut, 1));
    assert!(start.elapsed() < Duration::from_secs(1));

    let error = zia.status(Deadline::at(Instant::now())).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (Kind::TimedOut, 0));
    assert_eq!(tenant.count(STATUS), 1);
}

#[tokio::test]
async fn f15_a_429_is_waited_for_where_that_fits_and_closes_the_endpoint_where_not() {
    let patient = Tenant::signing_in(|seen| match seen.nth {
        0 => json(429, r#"{"message":"Rate Limit (1/SECOND) exceeded","Retry-After":"1 seconds"}"#),
        _ => active(),
    })
    .await;
    let start = Instant::now();
    patient.client().status(soon()).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(patient.count(STATUS), 2);

    let forms: [(&str, &str, i64); 4] = [
        ("retry-after: 1800\r\n", "", 1800),
        ("retry-after: 900s\r\n", r#"{"Retry-After":"30 MINUTES"}"#, 1800),
        ("retry-after: 7200\r\n", "", 3600),
        ("x-ratelimit-reset: 44\r\n", "<html>", 44),
    ];
    for (headers, body, seconds) in forms {
        let tenant = Tenant::signing_in(move |_| reply(429, headers, body.as_bytes())).await;
        let zia = tenant.client();
        for _ in 0..3 {
            let error = zia.status(soon()).await.unwrap_err();
            let Kind::RateLimited { retry_at } = error.kind else { panic!("{error}") };
            let ahead = retry_at.as_second() - Clock::system().now().as_second();
            assert!((seconds - 2..=seconds).contains(&ahead), "{headers:?}: {ahead}");
        }
        assert_eq!(tenant.count(STATUS), 1, "a closed endpoint is not asked again");
    }
}

#[tokio::test]
async fn the_documented_pace_is_kept_and_told() {
    let tenant = Tenant::signing_in(|_| json(200, "[]")).await;
    let zia = tenant.client_with(|s| s.with_limits(Limits::documented()));
    let start = Instant::now();
    let query = UserQuery::default();
    let (a, b) = tokio::join!(zia.users(&query, soon()), zia.users(&query, soon()));
    assert!(a.is_ok() && b.is_ok());
    assert!(start.elapsed() >= Duration::from_secs(1));
    let error = zia.users(&query, Deadline::after(Duration::from_millis(200))).await.unwrap_err();
    assert!(matches!(error.kind, Kind::RateLimited { .. }), "{error}");
    let hour =
        zia.budget().await.into_iter().find(|line| line.endpoint == "GET /users" && line.per == "hour");
    assert_eq!(hour.map(|line| (line.limit, line.remaining)), Some((40, 38)));
    assert_eq!(tenant.count(USERS), 2);
}

#[tokio::test]
async fn nobody_listening_is_told_as_such() {
    let error = Tenant::gone().await.client().status(soon()).await.unwrap_err();
    assert_eq!(
        (error.kind, error.phase, error.landed),
        (Kind::Unreachable, Some(Phase::Connect), Landed::No)
    );
}

#[tokio::test]
async fn f48_a_failed_tls_handshake_is_told_as_such_and_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let length = stream.read(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        String::from_utf8_lossy(&hello[..length]).into_owned()
    });
    let settings = Settings::api_key(
        None,
        Some(&url),
        "a@example.com",
        "canary-password".into(),
        "canaryApiKey0123".into(),
    );
    // A machine without root certificates says so at once.
    let zia = match Zia::new(settings.unwrap().with_timeouts(quick()), Clock::system()) {
        Ok(zia) => zia,
        Err(error) => return assert_eq!(error.setting, "SSL_CERT_FILE"),
    };
    let error = zia.sign_in(soon()).await.unwrap_err();
    assert_eq!((error.kind, error.phase, error.landed), (Kind::Unreachable, Some(Phase::Tls), Landed::No));
    assert!(!heard.await.unwrap().contains("canary"));
}

#[tokio::test]
async fn f34_a_clock_that_is_off_is_noticed() {
    let tenant = Tenant::signing_in(|_| {
        reply(200, "date: Fri, 13 Mar 2026 03:28:15 GMT\r\n", br#"{"status":"ACTIVE"}"#)
    })
    .await;
    let zia = tenant.client();
    assert_eq!(zia.clock_ahead_seconds(), None);
    zia.status(soon()).await.unwrap();
    let theirs: jiff::Timestamp = "2026-03-13T03:28:15Z".parse().unwrap();
    let ahead = Clock::system().now().as_second() - theirs.as_second();
    assert!((ahead - 2..=ahead).contains(&zia.clock_ahead_seconds().unwrap()));
}

#[tokio::test]
async fn f34_a_date_in_a_leap_second_or_after_2038_or_no_date_at_all_stops_nothing() {
    for (date, told) in [
        ("Sat, 31 Dec 2016 23:59:60 GMT", false),
        ("Tue, 19 Jan 2038 03:14:08 GMT", true),
        ("Thu, 31 Dec 9998 23:59:59 GMT", true),
        ("Thu, 01 Jan 1970 00:00:00 GMT", true),
        ("yesterday", false),
    ] {
        let head = format!("date: {date}\r\n");
        let tenant = Tenant::signing_in(move |_| reply(200, &head, br#"{"status":"ACTIVE"}"#)).await;
        let zia = tenant.client();
        zia.status(soon()).await.unwrap();
        assert_eq!(zia.clock_ahead_seconds().is_some(), told, "{date}");
    }
}

#[tokio::test]
async fn the_vendors_code_and_request_id_come_with_an_error() {
    let tenant = Tenant::signing_in(|_| {
        reply(403, "x-oneapi-request-id: 5f0a-1\r\n", br#"{"code":"SCOPE_LIMITED","message":"tenant text"}"#)
    })
    .await;
    let error = tenant.client().status(soon()).await.unwrap_err();
    assert_eq!((error.code.as_deref(), error.request_id.as_deref()), (Some("SCOPE_LIMITED"), Some("5f0a-1")));
    let text = error.to_string();
    assert!(text.starts_with("the signed-in account may not do this (GET /status, 1 attempt in "), "{text}");
    assert!(!text.contains("tenant text") && text.contains("request id 5f0a-1"), "{text}");
}
