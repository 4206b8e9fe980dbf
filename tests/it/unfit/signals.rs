//! Asked to end in the middle of a write (F44), and a log that nobody reads (F47).

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use zia_mcp::sandbox::{Endpoint, Fault};

use super::{
    child::{Place, Server},
    plain,
};

#[derive(Clone, Copy, Debug)]
enum End {
    Signal(Signal),
    Input,
}

const ENDS: [End; 3] = [End::Signal(Signal::TERM), End::Signal(Signal::HUP), End::Input];

/// Calls in which a delete is caught when the server is asked to end.
const CAUGHT: [(Endpoint, u32); 3] =
    [(Endpoint::GetUser, 1), (Endpoint::DeleteUser, 0), (Endpoint::Activate, 0)];

#[tokio::test]
async fn f44_asked_to_end_in_a_write_the_step_ends_and_the_next_server_goes_on() {
    for end in ENDS {
        for (endpoint, spared) in CAUGHT {
            let place = Place::new().await;
            let email = plain(&place.tenant);
            let id = place.tenant.user_by_email(&email).unwrap().id;
            let slow = Fault::Delay { ms: 1_500 }.on(endpoint).after(spared).times(1);
            let mut server = place.serve().await;
            let before = place.tenant.calls(endpoint);
            place.tenant.faults().switch_on(slow);
            let operation = server.approve_deletion(&email).await;
            place.tenant.arrived(endpoint, before + u64::from(spared) + 1).await;
            match end {
                End::Signal(signal) => server.signal(signal),
                End::Input => server.stdin = None,
            }
            let status = server.end().await;
            assert!(status.success(), "{end:?} in {endpoint:?}: {status} {}", place.log());
            let mut next = place.serve().await;
            let asked = json!({"operation_id": operation, "wait_seconds": 30});
            let told = next.call("get_operation", asked).await;
            assert_eq!(told["outcome"], "done", "{end:?} in {endpoint:?}: {told}");
            assert!(place.tenant.live_user(id).is_none());
            assert_eq!(place.tenant.calls(Endpoint::DeleteUser), 1, "{end:?} in {endpoint:?}");
        }
    }
}

#[tokio::test]
async fn f47_a_log_that_nobody_reads_holds_nothing_up() {
    let place = Place::new().await;
    let mut command = place.command(&["serve", "--log", "trace"]);
    // The pipe is never read, and is full after some calls.
    let mut server = Server::over(command.stderr(std::process::Stdio::piped())).await;
    let start = Instant::now();
    for n in 0..400 {
        let found = server.call("find_user", json!({"query": format!("nobody{n}")})).await;
        assert!(found.get("match").is_some() || found["error"]["code"] == "RATE_LIMITED", "{found}");
    }
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
    server.stdin = None;
    assert!(server.end().await.success());
}
