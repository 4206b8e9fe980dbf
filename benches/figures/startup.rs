//! From starting the process to the first answer over stdio.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use super::{
    messages::Era,
    server::{Tenant, binary, state},
    stats::{Times, millis, ratio},
    stdio::Client,
    table,
};

const STARTS: usize = 40;

/// The first answer is to be there within this time.
const AIM: &str = "≤ 30 ms";

pub(crate) fn print() {
    table::head(
        &format!("Start to first answer over stdio ({STARTS} starts; floor: `zia-mcp --version`)"),
        &["start", "median", "95 %", "aim", "median / floor"],
    );
    let floor = Times::new((0..STARTS).map(|_| version()).collect());
    table::row(&["floor", &millis(floor.median()), &millis(floor.percentile(95)), "", "1.00×"]);
    let tenant = Tenant::start();
    let warm = state();
    Client::start(tenant.serve(warm.path()), Era::Sessions);
    for era in Era::BOTH {
        let times = starts(|| first_answer(tenant.serve(warm.path()), era));
        show(&format!("`{}`", era.opening()), &times, &floor);
    }
    let times = starts(|| first_answer(cloud(warm.path()), Era::Sessions));
    show("`initialize`, for a real cloud (loads root certificates)", &times, &floor);
    let times = starts(|| first_answer(tenant.serve(state().path()), Era::Sessions));
    show("`initialize`, first start (makes key and store)", &times, &floor);
    let warm = state();
    Client::start(sandboxed(warm.path()), Era::Sessions);
    let times = starts(|| first_answer(sandboxed(warm.path()), Era::Sessions));
    show("`initialize`, with `--sandbox` (seeds 1,000 users)", &times, &floor);
}

fn starts(one: impl Fn() -> Duration) -> Times {
    Times::new((0..STARTS).map(|_| one()).collect())
}

fn first_answer(command: Command, era: Era) -> Duration {
    Client::start(command, era).first_answer
}

fn sandboxed(state: &Path) -> Command {
    let mut command = binary();
    command.args(["serve", "--sandbox", "--state-dir"]).arg(state);
    command
}

/// A server for a tenant of the vendor, of whom nothing is asked before the first call.
fn cloud(state: &Path) -> Command {
    let mut command = binary();
    command.args(["serve", "--state-dir"]).arg(state).envs([
        ("ZIA_CLOUD", "zscalerthree"),
        ("ZIA_USERNAME", "figures@example.com"),
        ("ZIA_PASSWORD", "of-no-use"),
        ("ZIA_API_KEY", "0123456789ab"),
    ]);
    command
}

/// Starts and ends the binary with nothing to do.
fn version() -> Duration {
    let began = Instant::now();
    let output = binary().arg("--version").output().expect("the binary starts");
    assert!(output.status.success());
    began.elapsed()
}

fn show(name: &str, times: &Times, floor: &Times) {
    let ratio = ratio(times.median().as_secs_f64(), floor.median().as_secs_f64());
    table::row(&[name, &millis(times.median()), &millis(times.percentile(95)), AIM, &ratio]);
}
