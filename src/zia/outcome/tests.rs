use http::HeaderValue;

use super::*;
use crate::zia::endpoints::{Activate, DeleteUser, ListUsers, ReadStatus, ReadUser, UserQuery};

fn reply(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect();
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into(), broken: None }
}

fn meaning(status: u16, body: &str) -> Meaning {
    let reply = reply(status, &[], body);
    refusal(reply.status, &reply.headers, &reply.body).meaning
}

const PAGE: &str = "<!doctype html><html><title>Sign in</title></html>";

#[test]
fn each_refusal_has_one_meaning() {
    use Meaning::*;
    for (status, body, expected) in [
        (400, r#"{"message":"Request body is invalid."}"#, Refused),
        (400, r#"{"code":"INVALID_INPUT_ARGUMENT","message":"x"}"#, Refused),
        (400, "", Refused),
        (401, r#"{"code":"SESSION_NOT_VALID","message":"x"}"#, SessionLost),
        (401, "SESSION_NOT_VALID", SessionLost),
        (401, "\u{FEFF} SESSION_NOT_VALID\n", SessionLost),
        (401, r#"{"detail":"unauthorized","type":"","title":"","status":""}"#, SessionLost),
        (401, "", SessionLost),
        (401, "getAttribute: Session already invalidated", SessionLost),
        (401, r#"{"message":"getAttributeNames: Session already invalidated"}"#, SessionLost),
        (
            500,
            r#"{"code":"UNEXPECTED_ERROR","message":"getAttribute: Session already invalidated"}"#,
            SessionLost,
        ),
        (401, r#"{"message":"Resource Access Blocked"}"#, Overloaded),
        (401, "Resource Access Blocked", Overloaded),
        (401, r#"{"code":"AUTHENTICATION_FAILED","message":"AUTHENTICATION_FAILED"}"#, Refused),
        (401, PAGE, Garbled),
        (403, r#"{"code":"INVALID_OPERATION","message":"x"}"#, Forbidden),
        (403, r#"{"code":"SCOPE_LIMITED","message":"x"}"#, Forbidden),
        (403, r#"{"code":"NOT_SUBSCRIBED","message":"x"}"#, Forbidden),
        (403, "", Forbidden),
        (403, r#"{"code":"LIMIT_EXCEEDED","message":"x"}"#, Refused),
        (403, r#"{"code":"INVALID_INPUT_ARGUMENT","message":"x"}"#, Refused),
        (403, r#"{"code":"STATE_READONLY","message":"x"}"#, ReadOnly),
        (503, r#"{"code":"STATE_READONLY"}"#, ReadOnly),
        (403, PAGE, Garbled),
        (403, "Blocked by proxy", Garbled),
        (404, r#"{"code":"RESOURCE_NOT_FOUND","message":"x"}"#, NotFound),
        (400, r#"{"code":"RESOURCE_NOT_FOUND"}"#, NotFound),
        (404, "", Garbled),
        (404, PAGE, Garbled),
        (404, r#"{"message":"no Route matched with those values"}"#, Garbled),
        (404, r#"{"code":"resource_not_found"}"#, Garbled),
        (406, PAGE, Garbled),
        (407, "", Garbled),
        (409, r#"{"code":"EDIT_LOCK_NOT_AVAILABLE"}"#, EditLocked),
        (409, r#"{"code":"DUPLICATE_ITEM","message":"EDIT_LOCK_NOT_AVAILABLE"}"#, Duplicate),
        (409, r#"{"code":"DUPLICATE_ITEM","message":"SESSION_NOT_VALID"}"#, Duplicate),
        (409, r#"{"code":"UNEXPECTED_ERROR","message":"Failed during enter Org barrier"}"#, EditLocked),
        (412, r#"{"code":"UNEXPECTED_ERROR","message":"Failed during enter Org barrier"}"#, EditLocked),
        (
            412,
            r#"{"message":"Request processing failed, possibly because an expected precondition was not met"}"#,
            EditLocked,
        ),
        (409, r#"{"message":"Resource Access Blocked"}"#, EditLocked),
        (409, r#"{"code":"SOMETHING_ELSE"}"#, Refused),
        (409, "", Refused),
        (415, "", Refused),
        (418, r#"{"teapot":true}"#, Garbled),
        (400, r#"["x"]"#, Garbled),
        (400, r#"{"code":"#, Garbled),
        (405, "only through zscaler oneapi", Refused),
        (500, r#"{"code":"UNEXPECTED_ERROR","message":"x"}"#, Server),
        (500, r#"{"code":"UNEXPECTED_ERROR","message":"Failed during enter Org barrier"}"#, Server),
        (500, "", Server),
        (502, PAGE, Server),
        (503, "SERVICE UNAVAILABLE", Server),
        (408, "", Server),
        (300, "", Garbled),
        (302, PAGE, Garbled),
        (307, r#"{"code":"INVALID_INPUT_ARGUMENT"}"#, Garbled),
        (101, "", Garbled),
        (600, "", Garbled),
    ] {
        assert_eq!(meaning(status, body), expected, "{status} {body}");
    }
}

#[test]
fn read_only_mode_is_told_by_its_header_too() {
    let seen = |mode| {
        let reply = reply(403, &[("x-zscaler-mode", mode)], r#"{"code":"X","message":"x"}"#);
        refusal(reply.status, &reply.headers, &reply.body).meaning
    };
    assert_eq!(seen("read-only"), Meaning::ReadOnly);
    assert_eq!(seen("read-write"), Meaning::Forbidden);
}

#[test]
fn only_vendor_codes_are_kept() {
    let code = |text: &str| {
        let body = serde_json::json!({ "code": text, "message": "tenant text" }).to_string();
        refusal(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes()).code
    };
    assert_eq!(code("DUPLICATE_ITEM_2").as_deref(), Some("DUPLICATE_ITEM_2"));
    for odd in ["", "lower", "A B", "A\u{1b}[31m", "É", &"A".repeat(65)] {
        assert_eq!(code(odd), None, "{odd:?}");
    }
}

#[test]
fn f19_a_page_with_a_good_status_is_never_an_answer() {
    let page = reply(200, &[("content-type", "text/html")], PAGE);
    let garbled = Some(Meaning::Garbled);
    assert_eq!(judge(&ListUsers(&UserQuery::default()), &page).err().map(|r| r.meaning), garbled);
    assert_eq!(judge(&ReadUser("7".parse().unwrap()), &page).err().map(|r| r.meaning), garbled);
    assert_eq!(judge(&DeleteUser("7".parse().unwrap()), &page).err().map(|r| r.meaning), garbled);
    assert_eq!(judge(&Activate, &page).err().map(|r| r.meaning), garbled);
}

#[test]
fn a_delete_with_a_good_status_is_done_whatever_else_it_says() {
    let delete = DeleteUser("7".parse().unwrap());
    for (status, body) in [(200, ""), (204, ""), (202, "{}"), (200, "OK"), (200, r#"{"id":"#)] {
        let whole = reply(status, &[], body);
        assert!(judge(&delete, &whole).is_ok(), "{status} {body}");
        assert!(judge(&delete, &Reply { broken: Some(Broken::Cut), ..whole }).is_ok());
    }
}

#[test]
fn f18_a_broken_body_is_never_an_answer() {
    for broken in [Broken::Cut, Broken::Stalled, Broken::TooLong] {
        let reply = Reply { broken: Some(broken), ..reply(200, &[], r#"{"status":"ACTIVE"}"#) };
        assert!(judge(&ReadStatus, &reply).is_err(), "{broken:?}");
    }
    let lost = judge(&ReadStatus, &reply(200, &[], "SESSION_NOT_VALID")).unwrap_err();
    assert_eq!(lost.meaning, Meaning::SessionLost);
}

#[test]
fn f16_a_write_may_have_landed_unless_the_reply_proves_that_it_did_not() {
    let landed = |status, body| {
        let reply = reply(status, &[], body);
        let refusal = refusal(reply.status, &reply.headers, &reply.body);
        assert_eq!(refusal.clone().fault(&reply, false).landed, Landed::No, "a read never lands");
        refusal.fault(&reply, true).landed
    };
    for (status, body) in [
        (400, r#"{"message":"x"}"#),
        (401, "SESSION_NOT_VALID"),
        (401, r#"{"message":"Resource Access Blocked"}"#),
        (403, r#"{"code":"STATE_READONLY"}"#),
        (404, r#"{"code":"RESOURCE_NOT_FOUND"}"#),
        (409, r#"{"code":"EDIT_LOCK_NOT_AVAILABLE"}"#),
        (409, r#"{"code":"DUPLICATE_ITEM"}"#),
    ] {
        assert_eq!(landed(status, body), Landed::No, "{status} {body}");
    }
    for (status, body) in [
        (500, ""),
        (502, PAGE),
        (503, "SESSION_NOT_VALID"),
        (302, ""),
        (403, PAGE),
        (404, ""),
        (500, r#"{"message":"getAttribute: Session already invalidated"}"#),
    ] {
        assert_eq!(landed(status, body), Landed::Unknown, "{status} {body}");
    }
}

#[test]
fn a_failed_sign_in_is_a_refusal_only_when_zia_says_so() {
    let seen = |status, body: &str| sign_in_refusal(&reply(status, &[], body)).meaning;
    for (status, body) in [
        (400, r#"{"code":"AUTHENTICATION_FAILED","message":"AUTHENTICATION_FAILED"}"#),
        (400, r#"{"code":"INVALID_USERNAME_OR_PASSWORD","message":"Invalid email or password"}"#),
        (400, "Bad credentials"),
        (400, r#"{"odd":1}"#),
        (401, r#"{"error":"invalid_client"}"#),
        (401, r#"{"error":"#),
        (401, ""),
        (401, r#"{"error":"x","message":"y"}"#),
        (403, r#"{"code":"SCOPE_LIMITED"}"#),
        (200, "{}"),
        (200, r#"{"obfuscateApiKey":true}"#),
    ] {
        assert_eq!(seen(status, body), Meaning::SessionLost, "{status} {body}");
    }
    for (status, body) in
        [(200, PAGE), (302, ""), (403, PAGE), (404, ""), (404, PAGE), (200, ""), (405, "nginx")]
    {
        assert_eq!(seen(status, body), Meaning::Garbled, "{status} {body}");
    }
    assert_eq!(seen(503, ""), Meaning::Server);
    assert_eq!(seen(401, "Resource Access Blocked"), Meaning::Overloaded);
    assert_eq!(seen(403, r#"{"code":"STATE_READONLY"}"#), Meaning::ReadOnly);
}

#[test]
fn bytes_of_any_kind_are_survived() {
    let bodies: [&[u8]; 6] =
        [b"\xFF\xFE", b"{\"code\":\"\xC3\x28\"}", b"{\"code\":\"\\ud800\"}", b"\0", b"\"", &[b'['; 200_000]];
    for body in bodies {
        for status in [200, 400, 401, 403, 404, 409, 500] {
            let reply = Reply { body: body.to_vec(), ..reply(status, &[], "") };
            assert!(judge(&ReadStatus, &reply).is_err());
        }
    }
}
