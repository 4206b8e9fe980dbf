//! Every recorded reply decodes to what it means.
//!
//! The recordings are not part of the repository; without them these tests say so and pass over.

use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::{
    endpoints::{
        Activate, ActivationStatus, Call, DeleteUser, ListDepartments, ListGroups, ListQuery, ListUsers,
        ReadEusa, ReadStatus, ReadUser, Token, UserQuery,
    },
    outcome::{Meaning, judge, refusal},
    retry_after,
    send::Reply,
    types::{Raw, ZiaUser},
};

struct Recording {
    file: String,
    path: String,
    reply: Reply,
}

fn folder() -> Option<PathBuf> {
    #[allow(clippy::disallowed_methods)] // a test's own setting
    let set = std::env::var_os("ZIA_MCP_RECORDED").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/recorded"));
    set.or(Some(beside)).filter(|folder| folder.join("index.json").exists())
}

fn recordings() -> Option<Vec<Recording>> {
    let Some(folder) = folder() else {
        println!("no recordings here: passed over");
        return None;
    };
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let index = read("index.json");
    let files = index["files"].as_array().unwrap().iter();
    let recording = |entry: &Value| Recording {
        file: entry["file"].as_str().unwrap().to_owned(),
        path: entry["path"].as_str().unwrap().to_owned(),
        reply: reply(&read(entry["file"].as_str().unwrap())["response"]),
    };
    Some(files.map(recording).collect())
}

fn reply(response: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    for (name, value) in response["headers"].as_object().unwrap() {
        let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        for value in values {
            let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
            headers.append(name.parse::<HeaderName>().unwrap(), value);
        }
    }
    let body = match &response["body"] {
        Value::String(text) => text.clone(),
        Value::Null => response["body_partial"].as_str().unwrap_or_default().to_owned(),
        json => json.to_string(),
    };
    let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
    Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into_bytes(), broken: None }
}

impl Recording {
    fn decode<C: Call>(&self, call: &C) -> C::Output {
        judge(call, &self.reply).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", self.file))
    }

    fn users(&self) -> Vec<Raw<ZiaUser>> {
        self.decode(&ListUsers(&UserQuery::default()))
    }

    /// The length of a list of groups or departments, read as both, each with a name.
    fn named(&self) -> usize {
        let query = ListQuery::default();
        let groups = self.decode(&ListGroups(&query));
        assert_eq!(groups, self.decode(&ListDepartments(&query)));
        assert!(groups.iter().all(|group| group.id > 0 && group.name.is_some()), "{}", self.file);
        groups.len()
    }

    /// The name of one group or department.
    fn one(&self) -> String {
        let list = [b"[", &self.reply.body[..], b"]"].concat();
        ListGroups(&ListQuery::default()).decode(&list).unwrap().remove(0).name.unwrap()
    }

    fn refusal(&self) -> (Meaning, Option<String>) {
        let refusal = refusal(self.reply.status, &self.reply.headers, &self.reply.body);
        (refusal.meaning, refusal.code)
    }

    fn refused(&self, meaning: Meaning, code: &str) {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        assert_eq!(self.refusal(), (meaning, code), "{}", self.file);
    }

    fn done_without_body(&self) {
        assert_eq!((self.reply.status.as_u16(), self.reply.body.len()), (204, 0), "{}", self.file);
        self.decode(&DeleteUser("1".parse().unwrap()));
    }

    fn token_seconds(&self) -> u64 {
        Token::read(&self.reply.body).unwrap_or_else(|e| panic!("{}: {e:?}", self.file)).lasts.as_secs()
    }

    /// A good reply of another service must not pass for a user or a list of users.
    fn is_of_another_service(&self) {
        assert!(judge(&ListUsers(&UserQuery::default()), &self.reply).is_err(), "{}", self.file);
        assert!(judge(&ReadUser("165214882".parse().unwrap()), &self.reply).is_err(), "{}", self.file);
    }

    fn asks_to_wait(&self, seconds: u64) {
        assert_eq!(self.reply.status, StatusCode::TOO_MANY_REQUESTS);
        let now = "2026-03-13T03:28:15Z".parse().unwrap();
        let wait = retry_after::wait(&self.reply.headers, &self.reply.body, now);
        assert_eq!(wait.as_secs(), seconds, "{}", self.file);
        let body_alone = retry_after::wait(&HeaderMap::new(), &self.reply.body, now);
        assert_eq!(body_alone.as_secs(), seconds, "{}", self.file);
    }
}

#[test]
fn every_recorded_reply_means_what_it_says() {
    for recording in recordings().unwrap_or_default() {
        check(&recording);
    }
}

fn check(r: &Recording) {
    use Meaning::*;
    match r.file.as_str() {
        "users.list.GET.200.json"
        | "users.list-search-ignored.GET.200.json"
        | "users.list.GET.200-second-capture.json" => hundred_users(r),
        "users-id.GET.200.json" => {
            let id = r.path.rsplit('/').next().unwrap().parse().unwrap();
            let user = r.decode(&ReadUser(id)).value;
            assert_eq!((user.id, user.admin_user, user.is_non_editable), (id, Some(true), None));
            assert_eq!(user.name.unwrap().len(), 44, "an encoded name");
        }
        "users-auditors.GET.200-empty.json" => assert!(r.users().is_empty()),
        "users-references.GET.200.json" => assert_eq!(r.named(), 100),
        "users-references-paged.GET.200.json" => assert_eq!(r.named(), 10),
        "groups.list.GET.200.json" | "groups-lite.GET.200.json" | "departments.list.GET.200.json" => {
            assert!(r.named() > 20, "{}", r.file);
        }
        "groups.list-search-nohit.GET.200.json" | "departments.list-search-nohit.GET.200.json" => {
            assert_eq!(r.named(), 0);
        }
        "groups-id.GET.200.json" => assert_eq!(r.one(), "20260211140950_created"),
        "groups.POST.200.json" => assert_eq!(r.one(), "TestGroup_VCR_Integration"),
        "groups-id.PUT.200.json" => assert_eq!(r.one(), "TestGroup_VCR_Integration_Updated"),
        "departments-id.GET.200.json" | "departments-lite-id.GET.200.json" => {
            assert_eq!(r.one(), "A000_test_1761418096949-test-1761429754606-test-1761429914836");
        }
        "departments.POST.200.json" => assert_eq!(r.one(), "TestDept_VCR_Integration"),
        "departments-id.PUT.200.json" => assert_eq!(r.one(), "TestDept_VCR_Integration_Updated"),
        "groups-id.DELETE.204.json"
        | "departments-id.DELETE.204.json"
        | "vpnCredentials-bulkDelete.POST.204.json"
        | "zidentity-users-id.DELETE.204.json" => r.done_without_body(),
        "status.GET.200.json" => assert_eq!(r.decode(&ReadStatus), ActivationStatus::Active),
        "status-activate.POST.200.json" => assert_eq!(r.decode(&Activate), ActivationStatus::Active),
        "eusaStatus-latest.GET.200.json" => assert!(r.decode(&ReadEusa)),
        "auth-oneapi-token.POST.200-prod.json" | "auth-oneapi-token.variant1.POST.200.json" => {
            assert_eq!(r.token_seconds(), 83_999);
        }
        "auth-oneapi-token.variant2.POST.200.json" => assert_eq!(r.token_seconds(), 86_399),
        "auth-oneapi-token.variant3.POST.200.json" => assert_eq!(r.token_seconds(), 11_999),
        // Administrators have ids, names and addresses too, but are another kind of object.
        "adminUsers.GET.200.json" => {
            let administrators = r.users();
            assert!(administrators.iter().all(|a| a.value.other.contains_key("loginName")));
        }
        "adminUsers-id.GET.200.json" => {
            let administrator = r.decode(&ReadUser("165214882".parse().unwrap())).value;
            assert!(administrator.other.contains_key("loginName"));
        }
        "users.list.GET.429.json"
        | "groups.list.GET.429.json"
        | "errors.zia.429.Rate-Limit-SECOND-exceeded.json" => {
            r.asks_to_wait(1);
        }
        "groups-id.PUT.409-edit-lock.json" | "errors.zia.409.EDIT_LOCK_NOT_AVAILABLE.json" => {
            r.refused(EditLocked, "EDIT_LOCK_NOT_AVAILABLE");
        }
        "errors.zia.409.DUPLICATE_ITEM.json" => r.refused(Duplicate, "DUPLICATE_ITEM"),
        "errors.zia.400.INVALID_INPUT_ARGUMENT.json" | "errors.zia.403.INVALID_INPUT_ARGUMENT.json" => {
            r.refused(Refused, "INVALID_INPUT_ARGUMENT");
        }
        "errors.zia.400.Request-body-is-invalid.json"
        | "errors.zia.400.Rule-Name-is-mandatory.json"
        | "errors.zia.415.empty.json" => r.refused(Refused, ""),
        "errors.zia.401.unauthorized.json"
        | "errors.zpa.401.unauthorized.json"
        | "errors.ztw.401.unauthorized.json" => {
            r.refused(SessionLost, "");
        }
        "errors.zia.403.INVALID_OPERATION.json" => r.refused(Forbidden, "INVALID_OPERATION"),
        "errors.zia.403.NOT_SUBSCRIBED.json" => r.refused(Forbidden, "NOT_SUBSCRIBED"),
        "errors.zia.403.SCOPE_LIMITED.json" => r.refused(Forbidden, "SCOPE_LIMITED"),
        "errors.zia.404.RESOURCE_NOT_FOUND.json" => r.refused(NotFound, "RESOURCE_NOT_FOUND"),
        "errors.zia.404.empty.json"
        | "errors.zia.406.text-doctype-html-html-l.json"
        | "scim-users-id.PUT.404.partial.json" => r.refused(Garbled, ""),
        "errors.zia.500.UNEXPECTED_ERROR.json" => r.refused(Server, "UNEXPECTED_ERROR"),
        "errors.zia.500.empty.json" => r.refused(Server, ""),
        "scim-users.list.GET.200.partial.json"
        | "zidentity-users.POST.201.json"
        | "zidentity-users-id.PUT.200.json"
        | "zidentity-users-id.GET.200.json"
        | "zidentity-users.list.GET.200.json" => r.is_of_another_service(),
        unknown => panic!("{unknown}: no meaning is stated for this recording"),
    }
}

/// The recorded page: 100 users, 83 with a department, 2 disabled, 7 with comments (zia-facts §3.1).
fn hundred_users(r: &Recording) {
    let users = r.users();
    let count = |is: &dyn Fn(&ZiaUser) -> bool| users.iter().filter(|user| is(&user.value)).count();
    assert_eq!(users.len(), 100);
    assert_eq!(count(&|u| u.department.is_some()), 83);
    assert_eq!(count(&|u| u.disabled == Some(true)), 2);
    assert_eq!(count(&|u| u.comments.is_some()), 7);
    assert_eq!(count(&|u| u.admin_user.is_some() && u.is_non_editable.is_some()), 100);
    assert_eq!(count(&|u| u.name.is_some() && u.email.is_some() && u.kind.is_none()), 100);
    assert_eq!(count(&|u| u.other.contains_key("pwdLastModifiedTime")), 100);
    for user in &users {
        let raw: Value = serde_json::from_str(user.raw.get()).unwrap();
        assert_eq!(raw["id"], user.value.id.get());
        assert_eq!(raw["groups"].as_array().unwrap().len(), user.value.groups.len());
    }
}

#[test]
fn f18_a_recorded_reply_cut_anywhere_is_never_an_answer() {
    for recording in recordings().unwrap_or_default() {
        let (body, status) = (&recording.reply.body, recording.reply.status);
        // Every byte of short replies; long ones are lists of like parts.
        let step = 1 + body.len() / 2000 * 20;
        let tail = body.len().saturating_sub(60)..body.len();
        for end in (0..tail.start).step_by(step).chain(tail) {
            let cut = Reply { body: body[..end].to_vec(), headers: HeaderMap::new(), status, broken: None };
            let file = &recording.file;
            assert!(judge(&ListUsers(&UserQuery::default()), &cut).is_err(), "{file} cut at {end}");
            assert!(judge(&ReadStatus, &cut).is_err(), "{file} cut at {end}");
            if status.is_client_error() {
                let meaning = refusal(status, &cut.headers, &cut.body).meaning;
                assert_ne!(meaning, Meaning::NotFound, "{file} cut at {end}");
                assert_ne!(meaning, Meaning::Duplicate, "{file} cut at {end}");
            }
        }
    }
}
