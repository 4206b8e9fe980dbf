//! A server that goes on while the key is changed beside it (F46).

use serde_json::json;
use zia_mcp::sandbox::Endpoint;

use super::{child::Place, plain};

#[tokio::test]
async fn f46_a_server_goes_on_while_the_key_is_changed_and_writes_nothing_without_it() {
    let place = Place::new().await;
    let email = plain(&place.tenant);
    let mut server = place.serve().await;
    let asked = server.call("tenant_status", json!({})).await;
    assert!(asked["warnings"].as_array().unwrap().is_empty(), "{asked}");
    let (code, printed, log) = place.run(&["store", "rekey"]).await;
    assert_eq!(code, 0, "{printed}{log}");
    // Without the new key file nothing is written, and none is made.
    let (key, away) = (place.state().join("key"), place.dir.path().join("away"));
    std::fs::rename(&key, &away).unwrap();
    let refused = server.call("deprovision_user", json!({"user": email})).await;
    assert_eq!(refused["error"]["code"], "STORE_UNAVAILABLE", "{refused}");
    let told = refused["error"]["message"].as_str().unwrap();
    assert!(told.contains("the key file is missing"), "{refused}");
    assert!(!key.exists() && place.tenant.calls(Endpoint::DeleteUser) == 0);
    std::fs::rename(&away, &key).unwrap();
    let operation = server.approve_deletion(&email).await;
    place.tenant.arrived(Endpoint::DeleteUser, 1).await;
    let asked = json!({"operation_id": operation, "wait_seconds": 30});
    assert_eq!(server.call("get_operation", asked.clone()).await["outcome"], "done");
    // Changed again, with something to seal anew; another server reads it.
    let (code, printed, log) = place.run(&["store", "rekey"]).await;
    assert_eq!(code, 0, "{printed}{log}");
    assert_eq!(server.call("get_operation", asked.clone()).await["outcome"], "done");
    assert_eq!(place.serve().await.call("get_operation", asked).await["outcome"], "done");
    assert_eq!(place.run(&["audit", "verify"]).await.0, 0);
}
