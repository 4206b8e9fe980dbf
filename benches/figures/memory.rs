//! Resident memory, idle and after many calls.

use super::{
    calls,
    http::{self, Load},
    messages::Era,
    server::{HttpServer, Process, Tenant, state},
    stats::ratio,
    stdio::Client,
    table,
};

const CALLS: u64 = 10_000;

pub(crate) fn print() {
    table::head(
        &format!("Resident memory (floor: idle over the same transport; {CALLS} calls of `find_user`)"),
        &["server", "resident", "aim", "/ floor"],
    );
    let tenant = Tenant::start();
    let state = state();
    let mut client = Client::start(tenant.serve(state.path()), Era::Sessions);
    let idle = resident(&client.process);
    show("stdio, idle", idle, "≤ 25 MiB", idle);
    let email = calls::some_email(&mut client, Era::Sessions);
    client.load(CALLS, 1, |id| calls::find(Era::Sessions, id, &email), calls::PROOF);
    show("stdio, after the calls", resident(&client.process), "", idle);

    // Another tenant: its limits count the lists of all servers.
    let tenant = Tenant::start();
    let server = HttpServer::start(&tenant);
    let warm = Load::Floor;
    http::run(&server.address, 1, 1, &warm);
    let idle = resident(&server.process);
    show("HTTP, idle", idle, "≤ 25 MiB", idle);
    http::run(&server.address, 8, CALLS / 8, &calls::load(Era::Stateless, &email));
    show("HTTP, after the calls over 8 connections", resident(&server.process), "", idle);
    http::run(&server.address, 32, CALLS / 32, &calls::load(Era::Sessions, &email));
    show("HTTP, after as many more in 32 sessions", resident(&server.process), "", idle);
}

/// In KiB; zero where the system does not tell.
fn resident(process: &Process) -> u64 {
    process.resident().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn show(name: &str, kib: u64, aim: &str, idle: u64) {
    if kib == 0 {
        return table::row(&[name, "not told by this system", aim, ""]);
    }
    let ratio = ratio(kib as f64, idle as f64);
    table::row(&[name, &format!("{:.1} MiB", kib as f64 / 1024.0), aim, &ratio]);
}
