//! MCP over a pipe, line by line.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use zia_mcp::mcp::stdio::{self, StdioError};

use super::dummy::Dummy;

struct Client {
    stdin: Option<DuplexStream>,
    stdout: Lines<BufReader<DuplexStream>>,
    server: JoinHandle<Result<(), StdioError>>,
    shutdown: CancellationToken,
    dummy: Dummy,
}

impl Client {
    fn start() -> Self {
        let (stdin, server_in) = tokio::io::duplex(1 << 16);
        let (server_out, stdout) = tokio::io::duplex(1 << 16);
        let (dummy, shutdown) = (Dummy::new(), CancellationToken::new());
        let server = tokio::spawn(stdio::serve(dummy.clone(), server_in, server_out, shutdown.clone()));
        Self { stdin: Some(stdin), stdout: BufReader::new(stdout).lines(), server, shutdown, dummy }
    }

    async fn start_legacy() -> Self {
        let mut client = Self::start();
        client.initialize().await;
        client
    }

    async fn initialize(&mut self) {
        self.initialize_with(json!({})).await;
    }

    async fn initialize_with(&mut self, capabilities: Value) {
        self.send(json!({"jsonrpc": "2.0", "id": "init", "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "0"}}}))
            .await;
        let answer = self.answer().await;
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25", "{answer}");
        self.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    }

    async fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stdin.as_mut().expect("open").write_all(bytes.as_ref()).await.unwrap();
    }

    async fn send(&mut self, message: Value) {
        self.raw(format!("{message}\n")).await;
    }

    async fn answer(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(20), self.stdout.next_line())
            .await
            .expect("an answer in time")
            .unwrap()
            .expect("an answer before the end");
        serde_json::from_str(&line).expect("whole JSON lines only")
    }

    /// Closes the input and collects what still comes.
    async fn finish(mut self) -> (Vec<Value>, Result<(), StdioError>) {
        if let Some(mut stdin) = self.stdin.take() {
            stdin.shutdown().await.unwrap();
        }
        self.rest().await
    }

    async fn rest(mut self) -> (Vec<Value>, Result<(), StdioError>) {
        let mut rest = Vec::new();
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        (rest, self.server.await.unwrap())
    }
}

fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": "tools/call",
        "params": {"name": tool, "arguments": arguments}})
}

fn modern(mut message: Value) -> Value {
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    message
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {answer}"))
}

#[tokio::test]
async fn calls_are_answered_in_both_protocol_generations() {
    let mut client = Client::start_legacy().await;
    client.send(call(1, "echo", json!({"a": 1}))).await;
    assert_eq!(text(&client.answer().await), r#"{"a":1}"#);
    let (rest, end) = client.finish().await;
    assert!(rest.is_empty() && end.is_ok(), "{rest:?} {end:?}");

    let mut client = Client::start();
    client.send(modern(call(1, "echo", json!({"a": 2})))).await;
    assert_eq!(text(&client.answer().await), r#"{"a":2}"#);
    let (rest, end) = client.finish().await;
    assert!(rest.is_empty() && end.is_ok(), "{rest:?} {end:?}");
}

#[tokio::test]
async fn f42_bad_lines_are_answered_with_their_codes_and_the_connection_lives() {
    let mut client = Client::start_legacy().await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"echo","arguments":{}1{}}}}}"#,
        r#"{"a":"#.repeat(10_000),
        "}".repeat(10_000)
    );
    let table: [(Vec<u8>, i64, Value); 12] = [
        (b"nonsense".into(), -32700, Value::Null),
        (b"\xff\xfe{\x00}\x00".into(), -32700, Value::Null),
        (b"\xef\xbb\xbf{}".into(), -32700, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":NaN}}}"#.into(), -32700, Value::Null),
        (br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#.into(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.into(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.into(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}"#.into(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":9,"result":{}}"#.into(), -32600, json!(9)),
        (br#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":"x"}}"#.into(), -32602, json!(2)),
        (br#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"echo","arguments":{"a":1,"a":2}}}"#.into(), -32600, json!(4)),
        (deep.into(), -32600, json!(3)),
    ];
    for (line, code, id) in table {
        let shown = String::from_utf8_lossy(&line[..line.len().min(100)]).into_owned();
        client.raw([&line[..], b"\n"].concat()).await;
        let answer = client.answer().await;
        assert_eq!((answer["error"]["code"].as_i64(), &answer["id"]), (Some(code), &id), "{shown}");
        client.send(call("after", "echo", json!({}))).await;
        assert_eq!(client.answer().await["id"], "after", "{shown}");
    }
    client.send(json!({"jsonrpc": "2.0", "id": 5, "method": "foo/bar"})).await;
    assert_eq!(client.answer().await["error"]["code"], -32601);
}

#[tokio::test]
async fn a_line_above_four_mebibytes_is_refused_and_the_next_is_answered() {
    let mut client = Client::start_legacy().await;
    client.raw(call(1, "echo", json!({"a": "x".repeat(stdio::MAX_LINE)})).to_string()).await;
    let answer = client.answer().await;
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32600), &Value::Null));
    client.raw("\n").await;
    client.send(call(2, "echo", json!({}))).await;
    assert_eq!(client.answer().await["id"], 2);
}

#[tokio::test]
async fn an_id_under_way_cannot_be_used_again_until_it_is_answered() {
    let mut client = Client::start_legacy().await;
    client.send(call(7, "slow", json!({}))).await;
    client.dummy.slow_began().await;
    client.send(call(7, "echo", json!({}))).await;
    let refused = client.answer().await;
    assert_eq!((&refused["error"]["code"], &refused["id"]), (&json!(-32600), &json!(7)));
    client.dummy.release();
    assert_eq!(text(&client.answer().await), "slow and done");
    client.send(call(7, "echo", json!({}))).await;
    assert_eq!(text(&client.answer().await), "{}");
}

#[tokio::test]
async fn notifications_before_the_first_request_do_not_end_the_session() {
    let mut client = Client::start();
    client.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    client.send(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    assert_eq!(client.answer().await["id"], 1);
    client
        .send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}))
        .await;
    client.send(modern(json!({"jsonrpc": "2.0", "id": 2, "method": "server/discover", "params": {}}))).await;
    assert!(client.answer().await["result"].is_object());
    client.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    client.send(json!({"jsonrpc": "2.0", "id": 3, "result": {}})).await;
    assert_eq!(client.answer().await["error"]["code"], -32600);
    client.initialize().await;
    client.send(call(4, "echo", json!({}))).await;
    assert_eq!(client.answer().await["id"], 4);
}

#[tokio::test]
async fn an_input_that_ends_at_once_is_a_normal_end() {
    let (rest, end) = Client::start().finish().await;
    assert!(rest.is_empty() && end.is_ok(), "{rest:?} {end:?}");
}

#[tokio::test]
async fn f44_the_end_of_the_input_lets_a_running_call_answer() {
    let mut client = Client::start_legacy().await;
    client.send(call(1, "slow", json!({}))).await;
    client.dummy.slow_began().await;
    let dummy = client.dummy.clone();
    let finish = tokio::spawn(client.finish());
    tokio::task::yield_now().await;
    dummy.release();
    let (rest, end) = finish.await.unwrap();
    assert_eq!(rest.iter().map(text).collect::<Vec<_>>(), ["slow and done"]);
    assert!(end.is_ok(), "{end:?}");
}

#[tokio::test]
async fn a_last_line_without_a_line_end_is_answered() {
    let mut client = Client::start_legacy().await;
    client.raw(call(1, "echo", json!({})).to_string()).await;
    let (rest, _) = client.finish().await;
    assert_eq!(rest.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_does_not_hold_the_end_beyond_ten_seconds() {
    for by_shutdown in [false, true] {
        let mut client = Client::start_legacy().await;
        client.send(call(1, "slow", json!({}))).await;
        client.dummy.slow_began().await;
        let start = tokio::time::Instant::now();
        let (rest, end) = if by_shutdown {
            client.shutdown.cancel();
            client.rest().await
        } else {
            client.finish().await
        };
        assert!(rest.is_empty() && end.is_ok(), "{rest:?} {end:?}");
        assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_nobody_can_answer_any_more_fails_at_once() {
    let mut client = Client::start();
    client.initialize_with(json!({"elicitation": {"form": {}}})).await;
    client.send(call(1, "ask", json!({}))).await;
    let question = client.answer().await;
    assert_eq!(question["method"], "elicitation/create");
    let start = tokio::time::Instant::now();
    let (rest, _) = client.finish().await;
    assert_eq!(text(&rest[0]), "not answered");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_to_our_question_reaches_the_call_and_a_second_one_is_let_go() {
    let mut client = Client::start();
    client.initialize_with(json!({"elicitation": {"form": {}}})).await;
    client.send(call(1, "ask", json!({}))).await;
    let id = client.answer().await["id"].clone();
    let answer =
        json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept", "content": {"confirm": "yes"}}});
    client.send(answer.clone()).await;
    assert_eq!(text(&client.answer().await), "answered Some(\"yes\")");
    client.send(answer).await;
    client.send(call(2, "echo", json!({}))).await;
    assert_eq!(client.answer().await["id"], 2);
}

#[tokio::test]
async fn a_cancelled_call_is_not_answered_and_its_id_stays_taken() {
    let mut client = Client::start_legacy().await;
    client.send(call(1, "slow", json!({}))).await;
    client.dummy.slow_began().await;
    client
        .send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}))
        .await;
    client.send(call(1, "echo", json!({}))).await;
    assert_eq!(client.answer().await["error"]["code"], -32600);
    client.dummy.release();
    let (rest, end) = client.finish().await;
    assert!(rest.is_empty() && end.is_ok(), "{rest:?} {end:?}");
}

#[tokio::test]
async fn two_thousand_calls_at_once_are_each_answered_once() {
    let mut client = Client::start_legacy().await;
    let lines: String = (0..2000).map(|n| format!("{}\n", call(n, "echo", json!({"n": n})))).collect();
    let mut stdin = client.stdin.take().expect("open");
    let writer = tokio::spawn(async move {
        stdin.write_all(lines.as_bytes()).await.unwrap();
        stdin
    });
    let mut seen = HashMap::new();
    for _ in 0..2000 {
        let answer = client.answer().await;
        let id = answer["id"].as_i64().unwrap();
        assert_eq!(text(&answer), format!(r#"{{"n":{id}}}"#));
        *seen.entry(id).or_insert(0) += 1;
    }
    client.stdin = Some(writer.await.unwrap());
    assert!(seen.values().all(|n| *n == 1) && seen.len() == 2000);
    assert!(client.finish().await.0.is_empty());
}

#[tokio::test]
async fn a_client_that_reads_no_more_ends_the_session_though_its_input_stays_open() {
    let mut client = Client::start_legacy().await;
    client.send(call(1, "echo", json!({}))).await;
    client.answer().await;
    drop(client.stdout);
    let mut stdin = client.stdin.take().expect("open");
    stdin.write_all(format!("{}\n", call(2, "echo", json!({}))).as_bytes()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), client.server).await;
    assert!(matches!(ended, Ok(Ok(Ok(())))), "{ended:?}");
}
