//! Several real processes on one store share one call budget (F6, I9).

use serde_json::{Value, json};
use tokio::task::JoinSet;
use zia_mcp::sandbox::{Endpoint, LimitPolicy};

use super::{
    child::{Place, Server},
    plain,
};

/// A place whose tenant keeps its documented limits.
async fn limited() -> Place {
    let place = Place::new().await;
    place.tenant.set_limits(LimitPolicy::Documented);
    place
}

/// Searches as often as asked, past every index.
async fn hammer(mut server: Server, email: String, times: usize) -> usize {
    let mut found = 0;
    for _ in 0..times {
        let answer = server.call("find_user", json!({"query": email, "fresh": true})).await;
        found += usize::from(answer["match"] == "exact");
    }
    found
}

fn hour_of(status: &Value, endpoint: &str) -> u64 {
    let lines = status["budget"].as_array().unwrap();
    let line = lines.iter().find(|l| l["endpoint"] == endpoint && l["per"] == "hour").unwrap();
    line["limit"].as_u64().unwrap() - line["remaining"].as_u64().unwrap()
}

#[tokio::test]
async fn f6_i9_four_servers_on_one_store_see_no_429() {
    let place = limited().await;
    let email = plain(&place.tenant);
    // Without the background, which lists users when it gets to it.
    let config = place.dir.path().join("config.toml");
    std::fs::write(&config, "[index]\nenabled = false\n").unwrap();
    let mut servers = JoinSet::new();
    for _ in 0..4 {
        let mut command = place.command(&["serve"]);
        let log = std::fs::File::create(place.dir.path().join("log")).unwrap();
        let server = Server::over(command.env("ZIA_MCP_CONFIG", &config).stderr(log)).await;
        // Each fresh look-up of a small tenant is a list and a look behind it.
        servers.spawn(hammer(server, email.clone(), 1));
    }
    let found: usize = servers.join_all().await.into_iter().sum();
    let journal = place.tenant.journal();
    assert!(journal.iter().all(|call| call.status != Some(429)), "{}", place.log());
    assert_eq!((found, place.tenant.calls(Endpoint::ListUsers)), (4, 8));
    let (code, status, log) = place.run(&["call", "tenant_status"]).await;
    assert_eq!(code, 0, "{log}");
    assert_eq!(hour_of(&serde_json::from_str(&status).unwrap(), "GET /users"), 8);
}

#[tokio::test]
async fn i9_the_calls_of_a_killed_process_stay_counted() {
    let place = limited().await;
    let mut server = place.serve().await;
    let email = plain(&place.tenant);
    server.call("find_user", json!({"query": email, "fresh": true})).await;
    server.child.kill().await.unwrap();
    let used = |endpoint| place.tenant.calls(endpoint);
    let (code, status, log) = place.run(&["call", "tenant_status"]).await;
    assert_eq!(code, 0, "{log}");
    let status = serde_json::from_str(&status).unwrap();
    assert_eq!(hour_of(&status, "GET /users"), used(Endpoint::ListUsers));
    assert_eq!(hour_of(&status, "POST /authenticatedSession"), used(Endpoint::Login));
    assert!(used(Endpoint::ListUsers) > 0 && used(Endpoint::Login) == 2);
}
