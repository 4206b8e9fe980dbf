//! A start on a store that cannot be used: reading goes on, and it says why (F3, F4, F11, F46).

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::{
    child::{Place, Server},
    plain,
};

const READING: [&str; 6] =
    ["find_user", "get_operation", "list_departments", "list_groups", "list_user_changes", "tenant_status"];
const OPERATION: &str = "op_00000000000000000000000000000000";

/// What every store that cannot be used has in common; `why` is what it is told by.
async fn only_reading_works(place: &Place, server: &mut Server, why: &str) {
    assert_eq!(server.tools().await, READING);
    let email = plain(&place.tenant);
    let found = server.call("find_user", json!({"query": email})).await;
    assert_eq!(found["match"], "exact", "{found}");
    assert!(!server.call("list_groups", json!({})).await["items"].as_array().unwrap().is_empty());

    let writes = [
        ("deprovision_user", json!({"user": email})),
        ("provision_user", json!({"name": "Nora", "email": "nora@example.com", "groups": []})),
        ("activate", json!({})),
        ("get_operation", json!({"operation_id": OPERATION})),
    ];
    for (tool, arguments) in writes {
        let start = Instant::now();
        let answer = server.call(tool, arguments).await;
        assert!(start.elapsed() < Duration::from_secs(2), "{tool}: {:?}", start.elapsed());
        assert_eq!(answer["error"]["code"], "STORE_UNAVAILABLE", "{tool}: {answer}");
        let (message, next) = (answer["error"]["message"].as_str(), answer["error"]["next"].as_str());
        assert!(message.unwrap().contains(why) && !next.unwrap().is_empty(), "{tool}: {answer}");
    }
    let unknown = server.ask("tools/call", json!({"name": "no_such_tool", "arguments": {}})).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");

    let status = server.call("tenant_status", json!({})).await;
    assert_eq!(status["mode"], "read_only", "{status}");
    assert_eq!((&status["open_operations"], &status["unactivated_operations"]), (&json!([]), &json!([])));
    let warned = |w: &Value| w.as_str().unwrap().contains(why) && w.as_str().unwrap().contains("restart");
    assert!(status["warnings"].as_array().unwrap().iter().any(warned), "{status}");

    for uri in ["operations", "captures"].map(|of| format!("zia://{of}/{OPERATION}")) {
        let read = server.ask("resources/read", json!({"uri": uri})).await;
        assert!(read["error"]["code"].is_number(), "{read}");
    }
    let status = server.ask("resources/read", json!({"uri": "zia://status"})).await;
    assert!(status["result"]["contents"][0]["text"].as_str().unwrap().contains("read_only"), "{status}");
    let prompts = server.ask("prompts/list", json!({})).await;
    assert!(!prompts["result"]["prompts"].as_array().unwrap().is_empty());

    server.stdin = None;
    assert!(server.end().await.success());
    let log = place.log();
    assert_eq!(log.matches("the store cannot be used").count(), 1, "{log}");
    assert!(log.contains(why), "{log}");
    assert!(place.tenant.calls(zia_mcp::sandbox::Endpoint::DeleteUser) == 0);

    // The commands at the terminal say the same.
    let (code, printed, _) =
        place.run(&["call", "deprovision_user", &json!({"user": email}).to_string()]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("STORE_UNAVAILABLE"), "{printed}");
    assert_eq!(place.run(&["call", "find_user", &json!({"query": email}).to_string()]).await.0, 0);
    let (code, printed, log) = place.run(&["doctor"]).await;
    assert_eq!(code, 69, "{log}");
    let checked = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(checked.contains("bad store and key") && checked.contains(why), "{printed}");
    assert!(checked.contains("ok sign-in"), "the other checks go on: {printed}");
}

fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.is_file() && !p.to_str().unwrap().ends_with("-shm"))
        .map(|p| (p.clone(), fs::read(p).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn f46_a_missing_key_leaves_the_reading_tools_and_is_not_replaced() {
    let place = Place::new().await;
    place.used().await;
    let key = place.state().join("key");
    fs::rename(&key, place.dir.path().join("away")).unwrap();
    let before = files(&place.state());
    only_reading_works(&place, &mut place.serve().await, "the key file is missing").await;
    assert!(!key.exists(), "a new key was made beside old data");
    assert_eq!(files(&place.state()), before);
    // With the key back, everything works again.
    fs::rename(place.dir.path().join("away"), &key).unwrap();
    assert!(place.serve().await.tools().await.contains(&"deprovision_user".to_owned()));
}

#[tokio::test]
async fn f46_another_stores_key_leaves_the_reading_tools() {
    let (place, other) = (Place::new().await, Place::new().await);
    place.used().await;
    other.used().await;
    fs::copy(other.state().join("key"), place.state().join("key")).unwrap();
    let before = files(&place.state());
    only_reading_works(&place, &mut place.serve().await, "of another store").await;
    assert_eq!(files(&place.state()), before);
}

#[tokio::test]
async fn f4_a_damaged_database_leaves_the_reading_tools_and_is_not_rewritten() {
    let place = Place::new().await;
    place.used().await;
    fs::write(place.state().join("store.db"), [b'x'; 8192]).unwrap();
    let before = files(&place.state());
    only_reading_works(&place, &mut place.serve().await, "damaged").await;
    assert_eq!(files(&place.state()), before);
}

#[tokio::test]
async fn f3_a_state_directory_that_cannot_be_made_leaves_the_reading_tools() {
    let place = Place::new().await;
    // A file is in the way of it, which stops an administrator's process too.
    fs::write(place.state(), "").unwrap();
    let mut command = place.command(&["serve"]);
    let below = place.state().join("below");
    let log = fs::File::create(place.dir.path().join("log")).unwrap();
    let mut server = Server::over(command.env("ZIA_MCP_STATE_DIR", &below).stderr(log)).await;
    assert_eq!(server.tools().await, READING);
    let status = server.call("tenant_status", json!({})).await;
    assert_eq!(status["mode"], "read_only", "{status}");
    let answer = server.call("activate", json!({})).await;
    assert_eq!(answer["error"]["code"], "STORE_UNAVAILABLE", "{answer}");
    assert_eq!(fs::metadata(place.state()).unwrap().len(), 0);
}

/// The user `nobody`, whom read-only directories stop.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn f3_a_read_only_state_directory_leaves_the_reading_tools() {
    let place = Place::new().await;
    let root = rustix::process::geteuid().is_root();
    place.used().await;
    let paths: Vec<_> = fs::read_dir(place.state()).unwrap().map(|f| f.unwrap().path()).collect();
    if root {
        // Nothing is read-only for root: another user runs the server.
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        paths.iter().chain([&place.state()]).for_each(|p| chown(p, Some(NOBODY), None).unwrap());
    }
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o500)).unwrap();
    let mut command = place.command(&["serve"]);
    if root {
        let binary = place.dir.path().join("zia-mcp");
        fs::copy(env!("CARGO_BIN_EXE_zia-mcp"), &binary).unwrap();
        command = copied(command, &binary);
        command.uid(NOBODY);
    }
    let log = fs::File::create(place.dir.path().join("log")).unwrap();
    let mut server = Server::over(command.stderr(log)).await;
    assert_eq!(server.tools().await, READING, "{}", place.log());
    let status = server.call("tenant_status", json!({})).await;
    assert_eq!(status["mode"], "read_only", "{status}");
    let answer = server.call("deprovision_user", json!({"user": plain(&place.tenant)})).await;
    assert_eq!(answer["error"]["code"], "STORE_UNAVAILABLE", "{answer}");
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o700)).unwrap();
}

/// The same command with another copy of the binary, which every user can reach.
fn copied(command: tokio::process::Command, binary: &Path) -> tokio::process::Command {
    let mut copy = tokio::process::Command::new(binary);
    copy.env_clear().kill_on_drop(true).args(command.as_std().get_args());
    copy.envs(command.as_std().get_envs().filter_map(|(k, v)| Some((k, v?))));
    copy
}

#[tokio::test]
async fn f3_the_http_server_is_alive_and_not_ready_without_a_store() {
    let place = Place::new().await;
    place.used().await;
    fs::remove_file(place.state().join("key")).unwrap();
    let mut command = place.command(&["serve", "--http", "127.0.0.1:0"]);
    let log = fs::File::create(place.dir.path().join("log")).unwrap();
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(log).spawn().unwrap();
    let mut line = String::new();
    // Kept: the server ends when nobody reads what it prints.
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    printed.read_line(&mut line).await.unwrap();
    let address = line
        .trim()
        .strip_prefix("listening on http://")
        .unwrap_or_else(|| panic!("{line:?} {}", place.log()));
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn f11_a_newer_schema_ends_the_start_and_names_what_to_do() {
    let place = Place::new().await;
    place.used().await;
    let options = SqliteConnectOptions::new().filename(place.state().join("store.db"));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("INSERT INTO schema_version (version) VALUES (1000)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let before = files(&place.state());
    for arguments in [&["serve"][..], &["call", "tenant_status"], &["operations"]] {
        let (code, _, log) = place.run(arguments).await;
        assert_eq!(code, 69, "{arguments:?}: {log}");
        assert!(log.contains("newer version of zia-mcp; run that version"), "{log}");
    }
    assert_eq!(files(&place.state()), before);
}

#[tokio::test]
async fn f3_a_state_directory_that_others_can_enter_still_ends_the_start() {
    let place = Place::new().await;
    place.used().await;
    fs::set_permissions(place.state(), fs::Permissions::from_mode(0o750)).unwrap();
    let (code, _, log) = place.run(&["serve"]).await;
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("chmod 700"), "{log}");
}
