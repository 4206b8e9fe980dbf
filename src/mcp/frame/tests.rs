use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn code(message: impl AsRef<[u8]>) -> i32 {
    check(message.as_ref()).expect_err("refused").code
}

fn call(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#
    )
}

/// A call whose deepest value is this many levels deep; the arguments begin at level three.
fn call_of_depth(levels: usize) -> String {
    let inner = levels - 2;
    call(&format!("{}{}", r#"{"a":"#.repeat(inner - 1) + "{}", "}".repeat(inner - 1)))
}

#[test]
fn good_messages_are_told_apart() {
    let request =
        |id, method: &'static str| Frame::Request { id: RequestId::Number(id), method: method.into() };
    for (message, frame) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, request(1, "tools/list")),
        (r#"{"method":"tools/list","params":null,"id":-5,"jsonrpc":"2.0"}"#, request(-5, "tools/list")),
        (r#" {"jsonrpc":"2.0","id":1,"method":"foo\/bar","extra":[1,2.5,true]} "#, request(1, "foo/bar")),
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":null}}"#,
            Frame::Request { id: RequestId::String("a".into()), method: "tools/call".into() },
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            Frame::Notification { method: "notifications/initialized".into() },
        ),
        (
            r#"{"jsonrpc":"2.0","id":9223372036854775807,"result":{}}"#,
            Frame::Response { id: Some(RequestId::Number(i64::MAX)) },
        ),
        (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}"#, Frame::Response { id: None }),
    ] {
        assert_eq!(check(message.as_bytes()), Ok(frame), "{message}");
    }
}

#[test]
fn what_is_no_json_is_a_parse_error() {
    let utf16: Vec<u8> = "{\"jsonrpc\":\"2.0\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bad in [
        b"".to_vec(),
        b"{".to_vec(),
        b"nonsense".to_vec(),
        br#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":NaN,"method":"ping"}"#.to_vec(),
        br#"{"jsonrpc":"2.0","method":"a\ud800"}"#.to_vec(),
        br#"{"jsonrpc":"2.0","id":1,"method":"a\ud800""#.to_vec(),
        br#"{'jsonrpc':'2.0'}"#.to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec(),
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}".to_vec(),
        b"[{\"jsonrpc\":\"2.0\"".to_vec(),
        utf16,
    ] {
        let text = String::from_utf8_lossy(&bad).into_owned();
        assert_eq!(code(bad), PARSE_ERROR, "{text}");
    }
    assert_eq!(code(call("NaN")), PARSE_ERROR);
}

#[test]
fn f36_half_a_surrogate_pair_is_answered_to_who_sent_it() {
    for bad in [
        r#"{"jsonrpc":"2.0","id":1,"method":"a\ud800"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"find_user","arguments":{"query":"\udc00"}}}"#.to_owned(),
    ] {
        let refusal = check(bad.as_bytes()).unwrap_err();
        assert_eq!((refusal.code, refusal.id), (INVALID_PARAMS, Some(RequestId::Number(1))), "{bad}");
    }
}

#[test]
fn json_that_is_no_request_is_an_invalid_request() {
    for bad in [
        "1",
        "null",
        "\"x\"",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":{"a":1}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}"#,
        r#"{"jsonrpc":"2.0","method":"initialize"}"#,
    ] {
        assert_eq!(code(bad), INVALID_REQUEST, "{bad}");
    }
}

#[test]
fn parameters_of_the_wrong_shape_are_invalid_params() {
    for bad in [
        call("\"x\""),
        call("[]"),
        call("1"),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":"x"}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{}}"#.into(),
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":null}}"#.into(),
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":"x"}"#.into(),
    ] {
        let refusal = check(bad.as_bytes()).expect_err("refused");
        assert_eq!(refusal.code, INVALID_PARAMS, "{bad}");
        assert_eq!(refusal.id.is_some(), bad.contains("\"id\":1"), "{bad}");
    }
}

#[test]
fn f41_thirty_two_levels_pass_and_thirty_three_do_not() {
    assert!(check(call_of_depth(32).as_bytes()).is_ok());
    assert_eq!(code(call_of_depth(33)), INVALID_REQUEST);
}

#[test]
fn ten_thousand_levels_are_refused_with_the_id_that_follows_them() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let message = format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"x","arguments":{{"a":{deep}}}}},"id":7}}"#
        );
        let refusal = check(message.as_bytes()).expect_err("refused");
        assert_eq!((refusal.code, refusal.id), (INVALID_REQUEST, Some(RequestId::Number(7))));
    }
    assert_eq!(code("[".repeat(10_000)), PARSE_ERROR);
    assert_eq!(code(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), INVALID_REQUEST);
}

#[test]
fn f38_the_same_key_twice_is_refused_however_it_is_written() {
    for bad in [
        call(r#"{"a":1,"a":2}"#),
        call(r#"{"a":1,"\u0061":2}"#),
        call(r#"{"list":[{"deep":{"b":1,"b":1}}]}"#),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#.into(),
    ] {
        let refusal = check(bad.as_bytes()).expect_err("refused");
        assert_eq!(refusal.code, INVALID_REQUEST, "{bad}");
        assert_eq!(refusal.id, Some(RequestId::Number(1)), "{bad}");
    }
    let two_ids = check(br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#).expect_err("refused");
    assert_eq!((two_ids.code, two_ids.id), (INVALID_REQUEST, None));
    assert!(check(call(r#"{"a":{"x":1},"b":{"x":1}}"#).as_bytes()).is_ok());
}

#[test]
fn many_keys_cost_no_more_than_time_in_proportion() {
    let keys: Vec<_> = (0..100_000).map(|n| format!("\"k{n}\":0")).collect();
    let start = Instant::now();
    assert!(check(call(&format!("{{{}}}", keys.join(","))).as_bytes()).is_ok());
    assert_eq!(code(call(&format!("{{{},\"k99999\":1}}", keys.join(",")))), INVALID_REQUEST);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_refusal_is_one_line_of_json_rpc() {
    let refusal = check(br#"{"jsonrpc":"2.0","id":"a\nb","method":7}"#).expect_err("refused");
    let line = refusal.to_json();
    assert!(!line.contains('\n'));
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap(),
        json!({"jsonrpc": "2.0", "id": "a\nb", "error": {"code": -32600, "message": "method must be a string"}})
    );
    let unknown: Value = serde_json::from_str(&check(b"{").expect_err("refused").to_json()).unwrap();
    assert_eq!(unknown["id"], Value::Null);
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check(&bytes);
    }

    #[test]
    fn no_text_of_a_message_comes_back_in_a_refusal(text in "[a-z]{12,20}") {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": text});
        let refusal = check(message.to_string().as_bytes()).map(|_| ()).expect_err("refused");
        prop_assert!(!refusal.to_json().contains(&text));
    }
}
