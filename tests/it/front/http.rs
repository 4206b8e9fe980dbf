//! Streamable HTTP, byte by byte.

use serde_json::json;
use zia_mcp::http::{HttpError, HttpOptions, TlsFiles, bind};

use super::wire::{Server, TOKEN, modern_call, modern_headers};

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
async fn t31_headers_that_contradict_the_body_or_each_other_are_header_mismatches() {
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
async fn t31_a_name_is_compared_as_it_is_decoded_and_in_no_other_way() {
    let server = Server::start().await;
    let call = modern_call(1, "echo", json!({}));
    // `echo` and `slow` in Base64, as the header may be written (2026-07-28).
    for (name, status) in [
        ("=?base64?ZWNobw==?=", 200),
        ("=?base64?c2xvdw==?=", 400),
        ("=?base64?ZWNobw?=", 400),
        ("=?base64??=", 400),
        ("=?base64?!!!!?=", 400),
        ("=?base64?ZWNobwo=?=", 400),
        ("=?base64?PT9iYXNlNjQ/WldOb2J3PT0/PQ==?=", 400),
        ("=?BASE64?c2xvdw==?=", 400),
        ("=?base64?/w==?=", 400),
        ("echo, slow", 400),
        ("\"echo\"", 400),
        ("echo;slow", 400),
        ("Echo", 400),
        ("echo%20", 400),
    ] {
        let answer = server.post(&modern_headers(name), &call).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(status == 200 || answer.code() == -32020, "{name}: {answer:?}");
    }
    for (name, value) in [
        ("Mcp-Method", "TOOLS/CALL"),
        ("Mcp-Method", "tools/call, tools/list"),
        ("MCP-Protocol-Version", "2026-07-28, 2025-11-25"),
    ] {
        let others = modern_headers("echo").into_iter().filter(|(own, _)| *own != name);
        let changes: Vec<_> = others.chain([(name, value)]).collect();
        assert_eq!(server.post(&changes, &call).await.status, 400, "{name} {value}");
    }
}

#[tokio::test]
async fn t31_a_second_request_cannot_hide_in_the_first() {
    let server = Server::start().await;
    let (call, host) = (modern_call(1, "echo", json!({"hidden": 1})), server.address.to_string());
    let inner = server.head("POST /mcp HTTP/1.1", &modern_headers("echo"), &call) + &call;
    let head = |framing: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        )
    };
    // Framed so that a proxy and a server could see the end of the first one at another place.
    for framing in [
        "Content-Length: 0\r\nTransfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity\r\nContent-Length: 3",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\x0bchunked",
        " Transfer-Encoding: chunked",
        "Content-Length: 3, 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 0x3",
        "Content-Length: -1",
        "Content-Length: 18446744073709551616",
        "Content-Length : 3",
        "X: y\nTransfer-Encoding: chunked",
    ] {
        let answer = server.raw(head(framing) + "0\r\n\r\n" + &inner).await;
        assert!((400..=501).contains(&answer.status), "{framing:?}: {answer:?}");
        assert!(!answer.body.contains("hidden"), "{framing:?}: {answer:?}");
    }
}

#[tokio::test]
async fn t31_contradicting_lengths_are_refused_or_read_as_chunks() {
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
async fn f45_a_session_that_is_moved_to_another_replica_gets_404_and_begins_anew_there() {
    let (one, other) = (Server::start().await, Server::start().await);
    let begun = one.session().await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(one.post(&[("Mcp-Session-Id", &begun)], ping).await.status, 200);
    assert_eq!(other.post(&[("Mcp-Session-Id", &begun)], ping).await.status, 404);
    let again = other.session().await;
    assert_ne!(again, begun);
    assert_eq!(other.post(&[("Mcp-Session-Id", &again)], ping).await.status, 200);
    // Moved back, it is not known there; the first one is.
    assert_eq!(one.post(&[("Mcp-Session-Id", &again)], ping).await.status, 404);
    assert_eq!(one.post(&[("Mcp-Session-Id", &begun)], ping).await.status, 200);
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
