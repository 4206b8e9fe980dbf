//! Creating, changing and deleting users.

use serde_json::{Value, json};
use zia_mcp::sandbox::Fault;

use super::lab::{Lab, new_user};

const ADMIN: u64 = 165_000_002;
const SYNCED: u64 = 165_000_009;
const ORDINARY: u64 = 165_000_013;

fn refused(answer: &super::lab::Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or("none").to_owned())
}

#[tokio::test]
async fn a_create_answers_200_with_the_user() {
    let lab = Lab::signed_in().await;
    let answer = lab.post("/users", new_user("New.Person@example.com")).await;
    assert_eq!(answer.status, 200);
    let id = answer.json()["id"].clone();
    assert_eq!(
        answer.json(),
        json!({
            "id": id, "name": "New Person", "email": "New.Person@example.com",
            "groups": [{"id": 24_326_802, "name": "Engineering"}],
            "department": {"id": 68_759_302, "name": "Engineering"},
            "adminUser": false, "isNonEditable": false, "pwdLastModifiedTime": 0, "deleted": false, "pilotUser": false,
        })
    );
    assert_eq!(lab.get(&format!("/users/{id}")).await.json()["email"], json!("New.Person@example.com"));
    let entry = lab
        .tenant
        .journal()
        .into_iter()
        .find(|entry| entry.method == "POST" && entry.path.ends_with("/users"));
    assert!(entry.unwrap().applied);
}

#[tokio::test]
async fn a_new_user_is_listed_in_name_order() {
    let lab = Lab::signed_in().await;
    lab.create("new@example.com").await;
    let list = lab.get("/users").await.json();
    let names: Vec<String> =
        list.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_lowercase()).collect();
    assert!(names.is_sorted() && names.contains(&"new person".to_owned()));
}

#[tokio::test]
async fn a_second_user_with_the_same_address_is_409_whatever_the_case() {
    let lab = Lab::signed_in().await;
    let answer = lab.post("/users", new_user("MIXED.case@EXAMPLE.com")).await;
    assert_eq!(refused(&answer), (409, "DUPLICATE_ITEM".to_owned()));
}

#[tokio::test]
async fn a_create_needs_name_email_groups_and_password() {
    let lab = Lab::signed_in().await;
    for field in ["name", "email", "groups", "password"] {
        let mut body = new_user("new@example.com");
        body.as_object_mut().unwrap().remove(field);
        let answer = lab.post("/users", body).await;
        assert_eq!(refused(&answer), (400, "INVALID_INPUT_ARGUMENT".to_owned()));
        assert!(answer.json()["message"].as_str().unwrap().contains(field), "{}", answer.text);
    }
    let mut body = new_user("new@example.com");
    body.as_object_mut().unwrap().remove("department");
    assert_eq!(lab.post("/users", body).await.status, 200, "a department is not needed");
}

#[tokio::test]
async fn unknown_and_mistyped_fields_are_not_understood() {
    let lab = Lab::signed_in().await;
    let not_understood = json!({"message": "Request body is invalid."});
    for (field, value) in [
        ("adminUser", json!(true)),
        ("displayName", json!("x")),
        ("name", json!(7)),
        ("groups", json!("Engineering")),
        ("department", json!({"name": "Engineering"})),
        ("groups", json!([{"id": 24_326_802, "extra": 1}])),
    ] {
        let mut body = new_user("new@example.com");
        body[field] = value;
        let answer = lab.post("/users", body).await;
        assert_eq!((answer.status, answer.json()), (400, not_understood.clone()), "{field}");
    }
    assert_eq!(lab.post("/users", json!([])).await.json(), not_understood);
    lab.tenant.faults().switch_on(Fault::UnknownFieldsIgnored);
    let mut body = new_user("new@example.com");
    body["adminUser"] = json!(true);
    assert_eq!(lab.post("/users", body).await.json()["adminUser"], json!(false));
}

#[tokio::test]
async fn wrong_values_are_refused_with_a_code() {
    let lab = Lab::signed_in().await;
    for (field, value) in [
        ("groups", json!([{"id": 1}])),
        ("department", json!({"id": 1})),
        ("name", json!("x".repeat(128))),
        ("name", json!("  ")),
        ("email", json!("new@elsewhere.org")),
        ("email", json!("new.example.com")),
        ("email", json!("a@b@example.com")),
        ("email", json!("new person@example.com")),
        ("email", json!(format!("{}@example.com", "x".repeat(120)))),
        ("comments", json!("x".repeat(10_241))),
        ("password", json!("Sh0rt!!")),
        ("password", json!("no-capital-1")),
        ("password", json!("No-Digit-Here")),
        ("password", json!("NoSpecial123")),
        ("password", json!("Ünïcode-123")),
        ("password", json!(format!("Aa1!{}", "x".repeat(252)))),
    ] {
        let mut body = new_user("new@example.com");
        body[field] = value.clone();
        let answer = lab.post("/users", body).await;
        assert_eq!(refused(&answer), (400, "INVALID_INPUT_ARGUMENT".to_owned()), "{field} {value}");
    }
    let mut body = new_user("new@example.net");
    body["name"] = json!("é".repeat(127));
    assert_eq!(lab.post("/users", body).await.status, 200, "characters are counted, not bytes");
}

#[tokio::test]
async fn an_update_replaces_the_whole_user_but_not_the_address() {
    let lab = Lab::signed_in().await;
    let body = json!({"id": 5, "name": "Renamed", "email": "other@example.com", "groups": [{"id": 24_326_803, "name": "?"}]});
    let answer = lab.put(&format!("/users/{ORDINARY}"), body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "id": ORDINARY, "name": "Renamed", "email": "casey.commented@example.com",
            "groups": [{"id": 24_326_803, "name": "Sales"}],
            "adminUser": false, "isNonEditable": false, "pwdLastModifiedTime": 0, "deleted": false, "pilotUser": false,
        })
    );
    let answer = lab.put(&format!("/users/{ORDINARY}"), json!({"name": "Renamed"})).await;
    assert_eq!(answer.json()["groups"], json!([]), "what is left out is emptied");
}

#[tokio::test]
async fn a_changed_address_can_be_refused_instead() {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::EmailChangeRefused);
    let path = format!("/users/{ORDINARY}");
    assert_eq!(lab.put(&path, json!({"name": "N", "email": "other@example.com"})).await.status, 400);
    assert_eq!(
        lab.put(&path, json!({"name": "N", "email": "casey.commented@example.com"})).await.status,
        200
    );
}

#[tokio::test]
async fn administrators_and_synced_users_refuse_every_write() {
    let lab = Lab::signed_in().await;
    for id in [ADMIN, SYNCED] {
        let path = format!("/users/{id}");
        assert_eq!(refused(&lab.delete(&path).await), (403, "INVALID_OPERATION".to_owned()));
        assert_eq!(
            refused(&lab.put(&path, json!({"name": "x"})).await),
            (403, "INVALID_OPERATION".to_owned())
        );
    }
    let answer = lab.post("/users/bulkDelete", json!({"ids": [ADMIN, SYNCED]})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"ids": []})));
    assert_eq!(lab.tenant.users().len(), 60);
}

#[tokio::test]
async fn a_delete_is_204_and_the_user_is_gone() {
    let lab = Lab::signed_in().await;
    let path = format!("/users/{ORDINARY}");
    let answer = lab.delete(&path).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(refused(&lab.get(&path).await), (404, "RESOURCE_NOT_FOUND".to_owned()));
    assert_eq!(refused(&lab.delete(&path).await), (404, "RESOURCE_NOT_FOUND".to_owned()));
    assert_eq!(lab.get("/users?name=casey").await.json(), json!([]), "no tombstone");
}

#[tokio::test]
async fn a_delete_can_answer_200_without_a_body() {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::DeleteAnswers200);
    let answer = lab.delete(&format!("/users/{ORDINARY}")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn a_bulk_delete_tells_which_users_it_deleted() {
    let lab = Lab::signed_in().await;
    let ids = json!([165_000_014, 1, SYNCED, 165_000_015, 165_000_014]);
    let answer = lab.post("/users/bulkDelete", json!({"ids": ids})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"ids": [165_000_014, 165_000_015]})));
    assert_eq!(lab.tenant.users().len(), 58);
}

#[tokio::test]
async fn a_bulk_delete_can_leave_users_out_or_say_nothing() {
    let lab = Lab::signed_in().await;
    lab.tenant.faults().switch_on(Fault::BulkDeleteDrops { users: 1 }.times(1));
    let answer = lab.post("/users/bulkDelete", json!({"ids": [165_000_014, 165_000_015, 165_000_016]})).await;
    assert_eq!(answer.json(), json!({"ids": [165_000_014, 165_000_015]}));
    assert!(lab.tenant.user(165_000_016).is_some());
    lab.tenant.faults().switch_on(Fault::BulkDeleteAnswers204);
    let answer = lab.post("/users/bulkDelete", json!({"ids": [165_000_016]})).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert!(lab.tenant.user(165_000_016).is_none());
}

#[tokio::test]
async fn a_bulk_delete_takes_500_ids_and_no_other_field() {
    let lab = Lab::signed_in().await;
    let ids = |count: u64| -> Value { (1..=count).collect() };
    assert_eq!(lab.post("/users/bulkDelete", json!({"ids": ids(500)})).await.status, 200);
    assert_eq!(refused(&lab.post("/users/bulkDelete", json!({"ids": ids(501)})).await).0, 400);
    for body in [json!({"ids": [1], "force": true}), json!({"ids": ["1"]}), json!([1])] {
        let answer = lab.post("/users/bulkDelete", body).await;
        assert_eq!(answer.json(), json!({"message": "Request body is invalid."}));
    }
}

#[tokio::test]
async fn an_address_is_free_again_after_its_user_is_deleted() {
    let lab = Lab::signed_in().await;
    let id = lab.create("again@example.com").await;
    lab.delete(&format!("/users/{id}")).await;
    assert_ne!(lab.create("again@example.com").await, id);
}
