//! Streamable HTTP, byte by byte.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zia_mcp::http::{HttpError, HttpOptions, TlsFiles, bind};

use super::wire::{Answer, INITIALIZE, Server, TOKEN, modern_call, modern_headers};

#[tokio::test]
async fn calls_are_answered_in_both_protocol_generations() {
    let server = Server::start().await;
    let answer = server.call("echo", json!({"a": 1})).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.text(), r#"{"a":1}"#);

    let session = server.session().await;
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":2}}}"#;
    let answer = server.post(&[("Mcp-Session-Id", &session)], call).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(r#"{\"a\":2}"#), "{answer:?}");
}

#[tokio::test]
async fn the_handler_learns_the_caller_and_never_the_token() {
    let server = Server::start().await;
    assert_eq!(server.call("caller", json!({})).await.text(), "tester bearer=false");
}

#[tokio::test]
async fn a_call_without_the_token_is_401_even_on_loopback() {
    let server = Server::start().await;
    for (value, challenge) in [
        ("", "Bearer"),
        ("Bearer wrong", "Bearer error=\"invalid_token\""),
        ("Basic canary-token", "Bearer error=\"invalid_token\""),
        ("canary-token", "Bearer error=\"invalid_token\""),
    ] {
        for method in ["POST", "GET", "DELETE", "PUT"] {
            let answer =
                server.send(&format!("{method} /mcp HTTP/1.1"), &[("Authorization", value)], "").await;
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some(challenge)),
                "{method} {value}"
            );
        }
    }
    let query = format!("POST /mcp?token={TOKEN} HTTP/1.1");
    assert_eq!(server.send(&query, &[("Authorization", "")], "{}").await.status, 401);
}

#[tokio::test]
async fn a_foreign_host_is_403_before_the_token_is_looked_at() {
    let server = Server::start().await;
    let port = server.address.port();
    for good in [
        format!("localhost:{port}"),
        format!("LocalHost:{port}"),
        format!("[::1]:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        assert_eq!(server.post(&[("Host", &good)], "{}").await.status, 400, "{good}");
        assert_eq!(server.post(&[("Host", &good), ("Authorization", "")], "{}").await.status, 401, "{good}");
    }
    for bad in [
        "evil.example".into(),
        format!("evil.example:{port}"),
        "localhost".into(),
        format!("localhost:{}", port ^ 1),
        format!("localhost.evil:{port}"),
        format!("localhost.:{port}"),
        format!("localhost:{port}@evil.example"),
        format!("evil.example@localhost:{port}"),
        format!("127.1:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::1:{port}"),
        format!("::1:{port}"),
        format!("localhost:0{port}x"),
        format!("localhost:{port}:80"),
    ] {
        for authorization in ["", "Bearer canary-token"] {
            let answer = server.post(&[("Host", &bad), ("Authorization", authorization)], "{}").await;
            assert_eq!(answer.status, 403, "{bad}");
        }
    }
}

#[tokio::test]
async fn no_host_and_two_hosts_are_400() {
    let server = Server::start().await;
    let own = server.address.to_string();
    for hosts in
        [vec![], vec![""], vec![&own[..], &own], vec![&own, "evil.example"], vec!["evil.example", &own]]
    {
        let headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
        assert_eq!(server.bare("POST /mcp HTTP/1.1", &headers, "{}").await.status, 400, "{hosts:?}");
        assert_eq!(server.bare("GET /healthz HTTP/1.1", &headers, "").await.status, 400, "{hosts:?}");
    }
}

#[tokio::test]
async fn a_host_in_the_request_line_counts_too() {
    let server = Server::start().await;
    let own = server.address.to_string();
    let status = async |uri: &str, host: &str| {
        server.bare(&format!("GET {uri} HTTP/1.1"), &[("Host", host)], "").await.status
    };
    assert_eq!(status(&format!("http://{own}/mcp"), &own).await, 401);
    assert_eq!(status("http://evil.example/mcp", &own).await, 403);
    assert_eq!(status("http://evil.example/healthz", &own).await, 403);
    assert_eq!(status(&format!("http://{own}/mcp"), "evil.example").await, 403);
    assert_eq!(status(&format!("http://evil@{own}/mcp"), &own).await, 403);
}

#[tokio::test]
async fn a_foreign_origin_is_403_though_no_list_is_set() {
    let server = Server::start().await;
    let port = server.address.port();
    for good in [
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("http://[::1]:{port}"),
    ] {
        assert_eq!(server.post(&[("Origin", &good)], "{}").await.status, 400, "{good}");
    }
    for bad in [
        "null".into(),
        "http://evil.example".into(),
        "http://localhost".into(),
        format!("https://localhost:{port}"),
        format!("http://localhost:{}", port ^ 1),
        format!("http://localhost.evil:{port}"),
        "file://".into(),
        format!("http://localhost:{port}/"),
        format!("http://evil@localhost:{port}"),
        "chrome-extension://abc".into(),
    ] {
        let answer = server.post(&[("Origin", &bad), ("Authorization", "")], "{}").await;
        assert_eq!(answer.status, 403, "{bad}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let own = format!("http://localhost:{port}");
    let host = server.address.to_string();
    let two = [("Host", &host[..]), ("Origin", &own), ("Origin", "http://evil.example")];
    assert_eq!(server.bare("POST /mcp HTTP/1.1", &two, "{}").await.status, 403);
    let preflight =
        [("Host", &host[..]), ("Origin", "http://evil.example"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(server.bare("OPTIONS /mcp HTTP/1.1", &preflight, "").await.status, 403);
}

#[tokio::test]
async fn hosts_and_origins_of_the_settings_pass() {
    let server = Server::start_with(
        |options| {
            options.allowed_hosts = vec!["inner.example".into()];
            options.allowed_origins = vec!["https://app.example".into()];
            options.public_url = Some("https://mcp.example".into());
        },
        true,
    )
    .await;
    for good in ["inner.example", "inner.example:8443", "mcp.example"] {
        assert_eq!(server.post(&[("Host", good)], "{}").await.status, 400, "{good}");
    }
    for good in ["https://app.example", "https://mcp.example"] {
        assert_eq!(server.post(&[("Origin", good)], "{}").await.status, 400, "{good}");
    }
    assert_eq!(server.post(&[("Host", "mcp.example:80")], "{}").await.status, 403);
    assert_eq!(server.post(&[("Origin", "http://app.example")], "{}").await.status, 403);
}

#[tokio::test]
async fn bad_bodies_are_answered_with_their_codes() {
    let server = Server::start().await;
    let echo = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#
        )
    };
    let deep = echo(&format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000)));
    for (body, code) in [
        ("", -32700),
        ("nonsense", -32700),
        ("\u{feff}{}", -32700),
        (&echo(r#"{"a":NaN}"#), -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#, -32600),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}"#, -32600),
        (&deep, -32600),
        (&echo(r#"{"a":1,"a":2}"#), -32600),
        (&echo(r#""x""#), -32602),
        (&echo("[]"), -32602),
    ] {
        let answer = server.post(&modern_headers("echo"), body).await;
        assert_eq!((answer.status, answer.code()), (400, code), "{}", &body[..body.len().min(90)]);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let head = server.head("POST /mcp HTTP/1.1", &[("Content-Length", "4")], "");
    let answer = server.raw([head.as_bytes(), &utf16].concat()).await;
    assert_eq!((answer.status, answer.code()), (400, -32700));
    assert_eq!(server.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn an_answer_nobody_asked_for_is_400() {
    let server = Server::start().await;
    let answer = server.post(&modern_headers("echo"), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
    assert_eq!((answer.status, answer.code()), (400, -32600));
}

#[tokio::test]
async fn headers_that_do_not_fit_are_refused() {
    let server = Server::start().await;
    let call = modern_call(1, "echo", json!({}));
    for (change, status) in [
        (("Content-Type", "text/plain"), 415),
        (("Content-Type", ""), 415),
        (("Content-Type", "application/json; charset=utf-16"), 415),
        (("Content-Type", "application/jsonp"), 415),
        (("Content-Encoding", "gzip"), 415),
        (("Content-Encoding", "br"), 415),
        (("Accept", ""), 406),
        (("Accept", "text/html"), 406),
        (("Accept", "application/json"), 406),
    ] {
        let changes = [&modern_headers("echo")[..], &[change]].concat();
        assert_eq!(server.post(&changes, &call).await.status, status, "{change:?}");
    }
    let charset = ("Content-Type", "Application/JSON; charset=\"UTF-8\"");
    let changes = [&modern_headers("echo")[..], &[charset]].concat();
    assert_eq!(server.post(&changes, &call).await.status, 200);
}

#[tokio::test]
async fn headers_that_contradict_the_body_or_each_other_are_header_mismatches() {
    let server = Server::start().await;
    let call = modern_call(1, "echo", json!({}));
    for (name, value) in [
        ("Mcp-Name", "slow"),
        ("Mcp-Name", ""),
        ("Mcp-Method", "tools/list"),
        ("Mcp-Method", ""),
        ("MCP-Protocol-Version", ""),
        ("MCP-Protocol-Version", "2025-11-25"),
    ] {
        let others = modern_headers("echo").into_iter().filter(|(own, _)| *own != name);
        let changes: Vec<_> = others.chain([(name, value)]).collect();
        let answer = server.post(&changes, &call).await;
        assert_eq!((answer.status, answer.code()), (400, -32020), "{name} {value}");
    }
    for twice in ["Mcp-Name", "Mcp-Method", "MCP-Protocol-Version", "Content-Type"] {
        let mut headers = server.headers(&modern_headers("echo"));
        headers.extend(headers.clone().into_iter().filter(|(name, _)| name == twice));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let answer = server.bare("POST /mcp HTTP/1.1", &headers, &call).await;
        assert_eq!((answer.status, answer.code()), (400, -32020), "{twice}");
    }
}

#[tokio::test]
async fn contradicting_lengths_are_refused_or_read_as_chunks() {
    let server = Server::start().await;
    let call = modern_call(1, "echo", json!({}));
    let post = async |lengths: [(&str, &str); 2], body: &str| {
        let mut headers = server.headers(&modern_headers("echo"));
        headers.extend(lengths.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        server.bare("POST /mcp HTTP/1.1", &headers, body).await.status
    };
    let (length, more) = (call.len().to_string(), (call.len() + 1).to_string());
    assert_eq!(post([("Content-Length", &length), ("Content-Length", &more)], &call).await, 400);
    assert_eq!(post([("Content-Length", "+4"), ("X", "y")], &call).await, 400);
    let chunked = format!("{:x}\r\n{call}\r\n0\r\n\r\n", call.len());
    for lengths in [
        [("Content-Length", "4"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "4")],
    ] {
        assert_eq!(post(lengths, &chunked).await, 200, "{lengths:?}");
    }
}

#[tokio::test]
async fn other_methods_and_pages_are_not_there() {
    let server = Server::start().await;
    for (method, version) in [
        ("GET", "2026-07-28"),
        ("DELETE", "2026-07-28"),
        ("GET", ""),
        ("DELETE", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("OPTIONS", ""),
    ] {
        let line = format!("{method} /mcp HTTP/1.1");
        let answer = server.send(&line, &[("MCP-Protocol-Version", version)], "").await;
        assert_eq!(answer.status, 405, "{method} {version}");
        assert!(answer.header("allow").is_some());
    }
    let host = server.address.to_string();
    for path in ["/", "/mcp/", "/MCP", "/mcp/..", "/mcp%2f", "/metrics"] {
        assert_eq!(
            server.bare(&format!("POST {path} HTTP/1.1"), &[("Host", &host)], "").await.status,
            404,
            "{path}"
        );
    }
    let unknown = server.post(
        &[("Mcp-Session-Id", "00000000-0000-0000-0000-000000000000")],
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
    );
    assert_eq!(unknown.await.status, 404);
}

#[tokio::test]
async fn a_body_above_one_mebibyte_is_413() {
    let server = Server::start().await;
    let call = |size: usize| modern_call(1, "echo", json!({"a": "x".repeat(size)}));
    let frame = call(0).len();
    assert_eq!(server.post(&modern_headers("echo"), &call((1 << 20) - frame)).await.status, 200);

    let announced = server.post(&[("Content-Length", "1048577")], "").await;
    assert_eq!(announced.status, 413);
    let chunked = format!("100001\r\n{}\r\n0\r\n\r\n", call((1 << 20) + 1 - frame));
    let head = server.head("POST /mcp HTTP/1.1", &[("Transfer-Encoding", "chunked")], "");
    let answer = server.raw(head + &chunked).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn health_pages_are_open_to_probes_and_closed_to_foreign_names() {
    let server = Server::start().await;
    let own = server.address.to_string();
    let get = async |server: &Server, path: &str, host: &str| {
        server.bare(&format!("GET {path} HTTP/1.1"), &[("Host", host)], "").await
    };
    let health = get(&server, "/healthz", &own).await;
    assert_eq!((health.status, &*health.body), (200, "ok"));
    let ready = get(&server, "/readyz", "10.1.2.3:8080").await;
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "checks": {"store": true}})));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&server, path, "evil.example").await.status, 403);
    }
    let server = Server::start_with(|_| {}, false).await;
    let ready = get(&server, "/readyz", &server.address.to_string()).await;
    assert_eq!((ready.status, ready.json()), (503, json!({"ready": false, "checks": {"store": false}})));
    assert_eq!(get(&server, "/healthz", &server.address.to_string()).await.status, 200);
}

/// A call on its way, its answer not read.
async fn begin(server: &Server, tool: &str) -> TcpStream {
    let body = modern_call(1, tool, json!({}));
    let head = server.head("POST /mcp HTTP/1.1", &modern_headers(tool), &body);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn the_call_after_the_thousand_and_twenty_fourth_is_told_to_come_back() {
    let server = Server::start().await;
    let mut waiting = Vec::new();
    for _ in 0..1024 {
        waiting.push(begin(&server, "slow").await);
        server.dummy.slow_began().await;
    }
    let refused = server.call("echo", json!({})).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(
        server.bare("GET /healthz HTTP/1.1", &[("Host", &server.address.to_string())], "").await.status,
        200
    );
    server.dummy.release();
    let done = waiting.iter_mut().map(|stream| Box::pin(Answer::read(stream)));
    let (answer, ..) = futures::future::select_all(done).await;
    assert_eq!(answer.text(), "slow and done");
    assert_eq!(server.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn shutting_down_lets_a_running_call_answer_and_takes_no_new_one() {
    let server = Server::start().await;
    let session = server.session().await;
    let changes = [("Mcp-Session-Id", &session[..]), ("Accept", "text/event-stream"), ("Content-Type", "")];
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(server.head("GET /mcp HTTP/1.1", &changes, "").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let mut running = begin(&server, "slow").await;
    server.dummy.slow_began().await;
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.dummy.release();
    assert_eq!(Answer::read(&mut running).await.text(), "slow and done");
    let start = Instant::now();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    server.task.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "the open stream held the end: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_cut_within_five_seconds() {
    let server = Server::start().await;
    let _running = begin(&server, "slow").await;
    server.dummy.slow_began().await;
    let start = tokio::time::Instant::now();
    server.shutdown.cancel();
    server.task.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_the_connection_in_ten_seconds() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let start = tokio::time::Instant::now();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!((9..13).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_address_that_others_reach_needs_tls_or_a_proxy() {
    let mut options = HttpOptions::new(TOKEN.into(), "tester");
    for address in ["0.0.0.0:0", "[::]:0"] {
        let error = bind(address, &options).await.expect_err("refused");
        assert!(matches!(error, HttpError::NeedsTls(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("--tls-cert") && text.contains("--behind-proxy"), "{text}");
    }
    for address in ["localhost:0", "[::1]:0", "127.0.0.2:0"] {
        assert!(bind(address, &options).await.is_ok(), "{address}");
    }
    options.behind_proxy = true;
    assert!(bind("0.0.0.0:0", &options).await.is_ok());
    options.tls = Some(TlsFiles { cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() });
    let text = bind("0.0.0.0:0", &options).await.expect_err("refused").to_string();
    assert!(text.contains("/nowhere/cert.pem"), "{text}");
    for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:99999"] {
        let error = bind(address, &HttpOptions::new(TOKEN.into(), "t")).await.expect_err("refused");
        assert!(matches!(error, HttpError::Address(_)), "{address}: {error}");
    }
}

#[tokio::test]
async fn no_token_is_in_a_debug_form() {
    let mut options = HttpOptions::new(TOKEN.into(), "tester");
    options.tls = None;
    let bound = bind("127.0.0.1:0", &options).await.unwrap();
    assert!(!format!("{options:?} {bound:?}").contains(TOKEN));
}

#[tokio::test]
async fn sessions_are_bounded() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.set_nodelay(true);
    let headers = server.headers(&[]);
    let mut request = String::from("POST /mcp HTTP/1.1\r\n");
    for (name, value) in &headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{INITIALIZE}", INITIALIZE.len());
    let mut seen = String::new();
    for _ in 0..1024 {
        stream.write_all(request.as_bytes()).await.unwrap();
        while !seen.ends_with("0\r\n\r\n") {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.unwrap();
            assert_ne!(read, 0, "{seen}");
            seen += std::str::from_utf8(&chunk[..read]).unwrap();
        }
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        seen.clear();
    }
    let refused = server.post(&[], INITIALIZE).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(server.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_the_413() {
    let server = Server::start().await;
    for _ in 0..20 {
        let answer = server.post(&[], &"x".repeat(3 << 20)).await;
        assert_eq!(answer.status, 413);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408_after_thirty_seconds() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = server.head("POST /mcp HTTP/1.1", &[("Content-Length", "10")], "");
    let start = tokio::time::Instant::now();
    stream.write_all((head + "{").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(Answer::parse(&String::from_utf8_lossy(&bytes)).status, 408);
    assert!((30..32).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
