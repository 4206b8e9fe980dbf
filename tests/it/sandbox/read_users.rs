//! Listing users and reading one.

use serde_json::{Value, json};
use zia_mcp::sandbox::{Endpoint, Fault};

use super::lab::Lab;

const SYNCED: u64 = 165_000_009;
const DISABLED: u64 = 165_000_010;
const WITHOUT_DEPARTMENT: u64 = 165_000_011;
const SEVERAL_GROUPS: u64 = 165_000_012;
const COMMENTED: u64 = 165_000_013;

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect()
}

fn row(list: &Value, id: u64) -> &Value {
    list.as_array().unwrap().iter().find(|user| user["id"] == json!(id)).unwrap()
}

#[tokio::test]
async fn a_list_is_a_bare_array_of_full_rows() {
    let lab = Lab::signed_in().await;
    let answer = lab.get("/users").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let list = answer.json();
    assert_eq!(list.as_array().unwrap().len(), 60);
    assert_eq!(
        *row(&list, SYNCED),
        json!({
            "id": SYNCED, "name": "Sam Synced", "email": "sam.synced@example.com",
            "groups": [{"id": 24_326_811, "name": "People"}],
            "department": {"id": 68_759_303, "name": "Sales"},
            "adminUser": false, "isNonEditable": true, "pwdLastModifiedTime": 0, "deleted": false, "pilotUser": false,
        })
    );
}

#[tokio::test]
async fn what_is_not_there_is_left_out() {
    let lab = Lab::signed_in().await;
    let list = lab.get("/users").await.json();
    assert!(row(&list, WITHOUT_DEPARTMENT).get("department").is_none());
    assert_eq!(row(&list, DISABLED)["disabled"], json!(true));
    assert!(row(&list, SYNCED).get("disabled").is_none());
    assert!(row(&list, SYNCED).get("comments").is_none());
    assert_eq!(
        row(&list, COMMENTED)["comments"],
        json!("on leave until May\n\"back\" in June; <b>ask</b> Dora")
    );
    assert_eq!(row(&list, 165_000_019)["groups"], json!([]));
    let groups: Vec<_> = row(&list, SEVERAL_GROUPS)["groups"].as_array().unwrap().iter().collect();
    assert_eq!(groups.iter().filter(|group| group["name"] == "Contractors").count(), 2);
}

#[tokio::test]
async fn the_list_is_in_name_order_whatever_the_case() {
    let lab = Lab::signed_in().await;
    let list = lab.get("/users").await.json();
    let mut sorted = names(&list);
    sorted.sort_by_key(|name| name.to_lowercase());
    assert_eq!(names(&list), sorted);
}

#[tokio::test]
async fn pages_cover_every_user_once_and_end_short() {
    let lab = Lab::signed_in().await;
    let mut ids = Vec::new();
    for page in 1..=4 {
        let list = lab.get(&format!("/users?page={page}&pageSize=25")).await.json();
        ids.extend(list.as_array().unwrap().iter().map(|user| user["id"].as_u64().unwrap()));
        let expected = [25, 25, 10, 0][page - 1];
        assert_eq!(list.as_array().unwrap().len(), expected);
    }
    let all: Vec<u64> = lab.tenant.users().iter().map(|user| user.id).collect();
    assert_eq!(ids, all);
}

#[tokio::test]
async fn a_page_must_be_a_positive_number() {
    let lab = Lab::signed_in().await;
    for query in ["page=0", "pageSize=-1", "page=one"] {
        let answer = lab.get(&format!("/users?{query}")).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("INVALID_INPUT_ARGUMENT")));
    }
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let lab = Lab::signed_in().await;
    let all = lab.get("/users").await.text;
    assert_eq!(lab.get("/users?search=admin&email=x%40example.com").await.text, all);
}

#[tokio::test]
async fn the_name_filter_finds_parts_of_names_and_addresses() {
    let lab = Lab::signed_in().await;
    assert_eq!(names(&lab.get("/users?name=MANYGR").await.json()), ["Grace Manygroups"]);
    assert_eq!(names(&lab.get("/users?name=%E5%A4%AA%E9%83%8E").await.json()), ["山田 太郎"]);
    let found = lab.get("/users?name=ann%40example.com").await.json();
    assert_eq!(names(&found), ["Ann Short", "Joann Longer"], "a partial match, not an exact one");
    assert_eq!(lab.get("/users?name=no-such-user").await.json(), json!([]));
    lab.tenant.faults().switch_on(Fault::NameFilterIgnoresEmail);
    assert_eq!(lab.get("/users?name=ann%40example.com").await.json(), json!([]));
    let found = lab.get("/users?name=alex.kim%40example.com").await.json();
    assert_eq!(names(&found), ["alex.kim@example.com"], "a name that looks like an address still matches");
}

#[tokio::test]
async fn department_and_group_match_from_their_start() {
    let lab = Lab::signed_in().await;
    let service = lab.get("/users?dept=service").await.json();
    assert_eq!(names(&service), ["API Admin", "DEFAULT ADMIN"]);
    assert_eq!(lab.get("/users?dept=Admin").await.json(), json!([]), "not in the middle");
    assert_eq!(names(&lab.get("/users?group=Contr").await.json()), ["Grace Manygroups"]);
    assert_eq!(lab.get("/users?group=Contr&dept=Service").await.json(), json!([]), "all filters count");
}

#[tokio::test]
async fn plus_is_a_space_on_the_legacy_host_only() {
    let legacy = Lab::signed_in().await;
    assert_eq!(names(&legacy.get("/users?name=Sam+Synced").await.json()), ["Sam Synced"]);
    let gateway = Lab::with_token().await;
    assert_eq!(gateway.get("/users?name=Sam+Synced").await.json(), json!([]));
    assert_eq!(names(&gateway.get("/users?name=Sam%20Synced").await.json()), ["Sam Synced"]);
}

#[tokio::test]
async fn a_user_by_id_has_no_non_editable_mark() {
    let lab = Lab::signed_in().await;
    let answer = lab.get(&format!("/users/{SYNCED}")).await;
    assert_eq!(
        answer.json(),
        json!({
            "id": SYNCED, "name": "Sam Synced", "email": "sam.synced@example.com",
            "groups": [{"id": 24_326_811, "name": "People"}],
            "department": {"id": 68_759_303, "name": "Sales"},
            "adminUser": false, "pwdLastModifiedTime": 0, "deleted": false, "pilotUser": false,
        })
    );
}

#[tokio::test]
async fn an_unknown_user_is_404_resource_not_found() {
    let lab = Lab::signed_in().await;
    for id in [0, 1, 999_999_999] {
        let answer = lab.get(&format!("/users/{id}")).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("RESOURCE_NOT_FOUND")));
    }
    assert_eq!(lab.get("/users/me").await.status, 404);
}

#[tokio::test]
async fn name_and_email_by_id_can_come_encoded() {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::EncodedById.on(Endpoint::GetUser));
    let user = lab.get(&format!("/users/{SYNCED}")).await.json();
    for field in ["name", "email"] {
        let text = user[field].as_str().unwrap();
        assert!(text.len() == 44 && text.ends_with('='), "{text}");
    }
    assert_ne!(user["name"], user["email"]);
    assert_eq!(user["department"]["name"], json!("Sales"), "the rest is plain");
    assert_eq!(row(&lab.get("/users").await.json(), SYNCED)["name"], json!("Sam Synced"), "so is the list");
}

#[tokio::test]
async fn references_are_ids_and_names() {
    let lab = Lab::signed_in().await;
    let found = lab.get("/users/references?name=synced").await.json();
    assert_eq!(found, json!([{"id": SYNCED, "name": "Sam Synced"}]));
    assert_eq!(lab.get("/users/references?name=example.com").await.json().as_array().unwrap().len(), 1);
    let people = lab.get("/users/references?includeAdminUsers=false&name=admin").await.json();
    assert_eq!(people, json!([]));
    assert_eq!(lab.get("/users/references?pageSize=10&page=2").await.json().as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn there_are_no_auditors() {
    let lab = Lab::signed_in().await;
    assert_eq!(lab.get("/users/auditors").await.text, "[]");
}

#[tokio::test]
async fn page_faults_cut_shift_and_repeat() {
    let lab = Lab::signed_in().await;
    let ids = |list: Value| -> Vec<u64> {
        list.as_array().unwrap().iter().map(|user| user["id"].as_u64().unwrap()).collect()
    };
    let all = ids(lab.get("/users").await.json());
    lab.tenant.faults().switch_on(Fault::PageSizeCap { rows: 7 });
    assert_eq!(ids(lab.get("/users?page=2&pageSize=20").await.json()), all[7..14]);
    lab.tenant.faults().clear();
    lab.tenant.faults().switch_on(Fault::PageSizeIgnored);
    assert_eq!(ids(lab.get("/users?pageSize=20").await.json()), all);
    lab.tenant.faults().clear();
    lab.tenant.faults().switch_on(Fault::PageShift { rows: 2 });
    assert_eq!(ids(lab.get("/users?page=2&pageSize=20").await.json()), all[18..38]);
    assert_eq!(ids(lab.get("/users?page=1&pageSize=20").await.json()), all[..20]);
    lab.tenant.faults().switch_on(Fault::PageShift { rows: -1 });
    assert_eq!(ids(lab.get("/users?page=2&pageSize=20").await.json()), all[21..41]);
    lab.tenant.faults().clear();
    lab.tenant.faults().switch_on(Fault::DuplicateRows { rows: 1 });
    assert_eq!(ids(lab.get("/users?pageSize=3").await.json()), [all[0], all[1], all[2], all[2]]);
}
