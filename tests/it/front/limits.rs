//! How much, how long, how many; and the end.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use sha2::{Digest, Sha256};
use zia_mcp::{http::NamedToken, model::Scopes};

use super::wire::{Answer, INITIALIZE, Server, TOKEN, modern_call, modern_headers};

#[tokio::test]
async fn t32_f41_a_body_above_one_mebibyte_is_413() {
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

/// A call on its way, its answer not read.
async fn begin(server: &Server, tool: &str) -> TcpStream {
    begin_as(server, tool, TOKEN).await
}

async fn begin_as(server: &Server, tool: &str, token: &str) -> TcpStream {
    let body = modern_call(1, tool, json!({}));
    let token = format!("Bearer {token}");
    let mut headers = modern_headers(tool).to_vec();
    headers.push(("Authorization", &token));
    let head = server.head("POST /mcp HTTP/1.1", &headers, &body);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// A server with this many named tokens, `token-0` and on.
async fn server_of(callers: usize) -> Server {
    let token = |n: usize| NamedToken {
        name: format!("caller-{n}"),
        sha256: Sha256::digest(format!("token-{n}")).into(),
        scopes: Scopes::TOOLS,
        workload: true,
    };
    Server::start_with(|options| options.tokens = (0..callers).map(token).collect(), true).await
}

#[tokio::test]
async fn t32_f40_a_greedy_caller_is_told_to_come_back_and_the_others_are_answered() {
    let server = server_of(1).await;
    let mut waiting = Vec::new();
    for _ in 0..512 {
        waiting.push(begin(&server, "slow").await);
        server.dummy.slow_began().await;
    }
    let refused = server.call("echo", json!({})).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    let other = server
        .post(
            &[&modern_headers("echo")[..], &[("Authorization", "Bearer token-0")]].concat(),
            &modern_call(1, "echo", json!({})),
        )
        .await;
    assert_eq!(other.status, 200);
    server.dummy.release();
    let done = waiting.iter_mut().map(|stream| Box::pin(Answer::read(stream)));
    futures::future::select_all(done).await;
    assert_eq!(server.call("echo", json!({})).await.status, 200);
}

#[tokio::test]
async fn t32_f40_the_call_after_the_thousand_and_twenty_fourth_is_told_to_come_back() {
    let server = server_of(33).await;
    let mut waiting = Vec::new();
    for n in 0..1024 {
        // Above its sixteen a caller has what is left of the first half.
        let token = if n < 512 { TOKEN.to_owned() } else { format!("token-{}", (n - 512) / 16) };
        waiting.push(begin_as(&server, "slow", &token).await);
        server.dummy.slow_began().await;
    }
    let last = [&modern_headers("echo")[..], &[("Authorization", "Bearer token-32")]].concat();
    let refused = server.post(&last, &modern_call(1, "echo", json!({}))).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(
        server.bare("GET /healthz HTTP/1.1", &[("Host", &server.address.to_string())], "").await.status,
        200
    );
    server.dummy.release();
    let done = waiting.iter_mut().map(|stream| Box::pin(Answer::read(stream)));
    let (answer, ..) = futures::future::select_all(done).await;
    assert_eq!(answer.text(), "slow and done");
    assert_eq!(server.post(&last, &modern_call(1, "echo", json!({}))).await.status, 200);
}

#[tokio::test]
async fn f44_shutting_down_lets_a_running_call_answer_and_takes_no_new_one() {
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
async fn t32_f39_a_head_that_does_not_come_ends_the_connection_in_ten_seconds() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let start = tokio::time::Instant::now();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!((9..13).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

/// Begins this many sessions, on one connection.
async fn begin_sessions(server: &Server, token: &str, count: usize) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let _ = stream.set_nodelay(true);
    let mut request = String::from("POST /mcp HTTP/1.1\r\n");
    for (name, value) in server.headers(&[("Authorization", &format!("Bearer {token}"))]) {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{INITIALIZE}", INITIALIZE.len());
    let mut seen = String::new();
    for _ in 0..count {
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
}

#[tokio::test]
async fn sessions_are_bounded_and_one_caller_leaves_the_others_theirs() {
    let server = server_of(2).await;
    let one_more = |token: &'static str| {
        let server = &server;
        async move { server.post(&[("Authorization", &format!("Bearer {token}"))], INITIALIZE).await }
    };
    begin_sessions(&server, "token-0", 511).await;
    let last = one_more("token-0").await;
    let refused = one_more("token-0").await;
    assert_eq!((last.status, refused.status, refused.header("retry-after")), (200, 503, Some("1")));
    assert_eq!(refused.body, "too many sessions of this caller");
    let own =
        [("Authorization", "Bearer token-0"), ("Mcp-Session-Id", last.header("mcp-session-id").unwrap())];
    assert!(server.send("DELETE /mcp HTTP/1.1", &own, "").await.status < 300);
    assert_eq!(one_more("token-0").await.status, 200, "one ended, one may begin");

    begin_sessions(&server, "token-1", 512).await;
    let refused = server.post(&[], INITIALIZE).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.body, "too many sessions");
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
async fn t32_f39_a_body_that_does_not_come_is_408_after_thirty_seconds() {
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

#[tokio::test(start_paused = true)]
async fn f39_a_connection_without_a_call_is_ended_in_a_minute() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let call = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(call.as_bytes()).await.unwrap();
    let start = tokio::time::Instant::now();
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told).await;
    assert!(told.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&told));
    assert!((55..65).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}
