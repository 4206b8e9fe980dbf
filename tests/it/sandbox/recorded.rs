//! The sandbox tenant's answers beside recorded real ones.
//!
//! The recordings are not part of this repository; where they are absent, the tests say that
//! they pass over them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use zia_mcp::sandbox::{Endpoint, Fault, LimitPolicy};

use super::lab::{Answer, Lab};

/// A recorded reply, if there are recordings.
#[allow(clippy::disallowed_methods)] // where the recordings are is no setting of the product
fn recorded(name: &str) -> Option<Value> {
    let told = std::env::var_os("ZIA_MCP_RECORDED").map(PathBuf::from);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/recorded");
    let path = told.unwrap_or_else(beside).join(format!("{name}.json"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("passed over: no recording {name}");
        return None;
    };
    Some(serde_json::from_str::<Value>(&text).unwrap()["response"].clone())
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap().keys().cloned().collect()
}

/// The keys of all objects in a list.
fn all_keys(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().flat_map(keys).collect()
}

/// Status and body are those of the recording, byte for byte where it has JSON.
fn same(answer: &Answer, recorded: &Value) {
    assert_eq!(json!(answer.status), recorded["status"]);
    if recorded["body"] == json!("") {
        assert_eq!(answer.text, "");
    } else {
        assert_eq!(answer.text, recorded["body"].to_string());
    }
}

#[tokio::test]
async fn users_have_the_recorded_fields() {
    let lab = Lab::with_token().await;
    if let Some(list) = recorded("users.list.GET.200") {
        let ours = lab.get("/users").await.json();
        assert_eq!(all_keys(&ours), all_keys(&list["body"]));
        let order = |row: &Value| row.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let plain = |list: &Value| {
            let full = |row: &&Value| row.get("comments").is_some() && row.get("department").is_some();
            list.as_array().unwrap().iter().find(full).map(order).unwrap()
        };
        assert_eq!(plain(&ours), plain(&list["body"]), "in the recorded order");
    }
    if let Some(user) = recorded("users-id.GET.200") {
        assert_eq!(keys(&lab.get("/users/165000002").await.json()), keys(&user["body"]));
    }
    if let Some(list) = recorded("users-references-paged.GET.200") {
        assert_eq!(all_keys(&lab.get("/users/references").await.json()), all_keys(&list["body"]));
    }
    if let Some(none) = recorded("users-auditors.GET.200-empty") {
        same(&lab.get("/users/auditors").await, &none);
    }
}

#[tokio::test]
async fn groups_and_departments_have_the_recorded_fields() {
    let lab = Lab::with_token().await;
    for (name, path) in [
        ("groups.list.GET.200", "/groups"),
        ("groups-lite.GET.200", "/groups/lite"),
        ("departments.list.GET.200", "/departments"),
    ] {
        let Some(list) = recorded(name) else { continue };
        let ours = all_keys(&lab.get(path).await.json());
        assert!(all_keys(&list["body"]).is_subset(&ours), "{path}: {ours:?}");
    }
    for (name, path) in [
        ("groups-id.GET.200", "/groups/24326801"),
        ("departments-lite-id.GET.200", "/departments/lite/68759301"),
    ] {
        let Some(one) = recorded(name) else { continue };
        assert!(keys(&one["body"]).is_subset(&keys(&lab.get(path).await.json())), "{path}");
    }
    if let Some(none) = recorded("groups.list-search-nohit.GET.200") {
        same(&lab.get("/groups?search=Default").await, &none);
    }
}

#[tokio::test]
async fn status_agreement_and_activation_are_as_recorded() {
    let lab = Lab::with_token().await;
    if let Some(status) = recorded("status.GET.200") {
        same(&lab.get("/status").await, &status);
    }
    if let Some(activated) = recorded("status-activate.POST.200") {
        same(&lab.activate().await, &activated);
    }
    if let Some(agreement) = recorded("eusaStatus-latest.GET.200") {
        same(&lab.get("/eusaStatus/latest").await, &agreement);
    }
}

#[tokio::test]
async fn refusals_are_as_recorded() {
    let mut lab = Lab::with_token().await;
    if let Some(invalid) = recorded("errors.zia.400.Request-body-is-invalid") {
        same(&lab.put("/users/165000013", json!({"name": 1})).await, &invalid);
    }
    let switch = |fault: Fault| lab.tenant.faults().switch_on(fault.on(Endpoint::ListUsers).times(1));
    let faults = [
        ("errors.zia.409.EDIT_LOCK_NOT_AVAILABLE", Fault::EditLock { hold_ms: Some(0) }),
        ("errors.zia.500.UNEXPECTED_ERROR", Fault::ServerError { status: 500, applied: false }),
        ("errors.zia.500.empty", Fault::Empty500),
        ("errors.zia.404.empty", Fault::Bare404),
    ];
    for (name, fault) in faults {
        let Some(error) = recorded(name) else { continue };
        switch(fault);
        same(&lab.get("/users").await, &error);
    }
    lab.tenant.set_limits(LimitPolicy::Documented);
    lab.get("/users").await;
    if let Some(limited) = recorded("users.list.GET.429") {
        let answer = lab.get("/users").await;
        same(&answer, &limited);
        assert_eq!(json!(answer.header("retry-after")), limited["headers"]["retry-after"]);
    }
    lab.set_bearer("unknown");
    if let Some(unauthorized) = recorded("errors.zia.401.unauthorized") {
        same(&lab.get("/users").await, &unauthorized);
    }
}

#[tokio::test]
async fn the_gateways_headers_are_the_recorded_ones() {
    let lab = Lab::with_token().await;
    let Some(status) = recorded("status.GET.200") else { return };
    let answer = lab.get("/status").await;
    for (name, value) in status["headers"].as_object().unwrap() {
        let ours = answer.header(name).unwrap_or_else(|| panic!("{name} is missing"));
        let varies = ["date", "x-oneapi-host", "x-envoy-upstream-service-time", "content-length"]
            .contains(&name.as_str())
            || name.ends_with("-id")
            || name.starts_with("x-ratelimit-re");
        assert!(varies || value == ours, "{name}: {ours}");
    }
}
