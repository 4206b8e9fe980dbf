//! Groups, departments, and paths that there are not.

use serde_json::json;

use super::lab::Lab;

#[tokio::test]
async fn groups_come_a_hundred_a_page_in_name_order() {
    let lab = Lab::signed_in().await;
    let first = lab.get("/groups").await.json();
    let names: Vec<String> = first
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap().to_lowercase())
        .collect();
    assert_eq!(names.len(), 100);
    assert!(names.is_sorted());
    assert_eq!(lab.get("/groups?page=2").await.json().as_array().unwrap().len(), 32);
    assert_eq!(lab.get("/groups?pageSize=1000").await.json().as_array().unwrap().len(), 132);
}

#[tokio::test]
async fn two_groups_of_one_name_differ_by_identity_provider() {
    let lab = Lab::signed_in().await;
    let found = lab.get("/groups?search=contractors").await.json();
    assert_eq!(found[0]["idpId"], json!(4101));
    assert_eq!(found[1]["idpId"], json!(4102));
    assert_eq!(found[0]["name"], found[1]["name"]);
    assert_eq!(found.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn search_looks_at_names_and_comments() {
    let lab = Lab::signed_in().await;
    let found = lab.get("/groups?search=Service").await.json();
    let expected = json!([{"id": 24_326_801, "name": "Service Admin", "comments": "Service Admin (seeded)", "isSystemDefined": true}]);
    assert_eq!(found, expected);
    assert!(!lab.get("/groups?search=seeded").await.json().as_array().unwrap().is_empty());
    assert_eq!(lab.get("/groups?search=Default").await.text, "[]");
}

#[tokio::test]
async fn one_group_or_department_is_read_by_id() {
    let lab = Lab::signed_in().await;
    assert_eq!(lab.get("/groups/24326803").await.json(), json!({"id": 24_326_803, "name": "Sales"}));
    let lite = lab.get("/departments/lite/68759301").await.json();
    assert_eq!(lite, json!({"id": 68_759_301, "name": "Service Admin"}));
    assert_eq!(lab.get("/departments/68759301").await.json()["comments"], json!("Service Admin (seeded)"));
    for path in ["/groups/1", "/groups/lite/1", "/departments/1", "/departments/lite/1"] {
        assert_eq!(lab.get(path).await.json()["code"], json!("RESOURCE_NOT_FOUND"));
    }
}

#[tokio::test]
async fn lite_lists_page_and_search_too() {
    let lab = Lab::signed_in().await;
    assert_eq!(lab.get("/groups/lite?search=Sales&pageSize=3").await.json().as_array().unwrap().len(), 3);
    assert_eq!(
        lab.get("/departments/lite?search=Legal&page=2&pageSize=5").await.json().as_array().unwrap().len(),
        4
    );
    assert_eq!(lab.get("/departments").await.json().as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn the_end_user_agreement_is_accepted() {
    let lab = Lab::signed_in().await;
    let expected =
        json!({"id": 3183, "version": {"id": 7, "name": "'SLA-11-01-16'"}, "acceptedStatus": true});
    assert_eq!(lab.get("/eusaStatus/latest").await.json(), expected);
}

#[tokio::test]
async fn other_paths_are_an_empty_404() {
    let lab = Lab::signed_in().await;
    for path in ["/adminUsers", "/users/", "/users/1/enroll"] {
        let answer = lab.get(path).await;

        assert_eq!((answer.status, answer.text.as_str()), (404, ""), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_an_empty_415() {
    let lab = Lab::signed_in().await;
    let url = format!("{}/api/v1/users", lab.tenant.base_url());
    #[allow(clippy::disallowed_methods)] // raw on purpose
    let sent = lab.client().post(url).header("cookie", lab.cookie()).body("name=x").send().await.unwrap();
    assert_eq!(sent.status(), 415);
    assert_eq!(sent.text().await.unwrap(), "");
}
