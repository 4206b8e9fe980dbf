//! `find_user` by exact address, answered from the index: latency and calls per second.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    http::{self, Load},
    messages::Era,
    server::{HttpServer, Tenant, state},
    stats::{Times, millis, ratio},
    stdio::Client,
    table,
};

const CALLS: u64 = 16_000;

/// What every answer holds.
pub(crate) const PROOF: &str = r#""match":"exact""#;

pub(crate) fn print() {
    table::head(
        &format!("`find_user` from the index ({CALLS} calls each)"),
        &["transport", "at once", "50 %", "95 %", "99 %", "calls/s", "aim", "rate / floor"],
    );
    let email = over_stdio();
    over_http(&email);
}

// A tenant for each server: its limits count the lists of all.

fn over_stdio() -> String {
    let (tenant, state) = (Tenant::start(), state());
    let mut client = Client::start(tenant.serve(state.path()), Era::Sessions);
    let email = some_email(&mut client, Era::Sessions);
    let floor = [1, 8, 32].map(|at_once| {
        let ping = |id| Era::Sessions.request(id, "ping", json!({}));
        let figure = Figure::new(CALLS, client.load(CALLS, at_once, ping, r#""result":{}"#));
        figure.show("stdio, floor: `ping`", at_once, "", figure.rate);
        figure.rate
    });
    for era in Era::BOTH {
        let tenant = Tenant::start();
        let mut client = Client::start(tenant.serve(state.path()), era);
        warm_up(&mut client, era, &email);
        for (at_once, floor) in [1, 8, 32].into_iter().zip(floor) {
            let figure = Figure::new(CALLS, client.load(CALLS, at_once, |id| find(era, id, &email), PROOF));
            figure.show(&format!("stdio, {}", era.version()), at_once, "", floor);
        }
    }
    email
}

fn over_http(email: &str) {
    let tenant = Tenant::start();
    let server = HttpServer::start(&tenant);
    let run = |connections: usize, load: &Load| {
        let each = CALLS / connections as u64;
        Figure::new(each * connections as u64, http::run(&server.address, connections, each, load))
    };
    run(1, &load(Era::Stateless, email));
    let floor = [1, 8, 32].map(|connections| {
        let figure = run(connections, &Load::Floor);
        figure.show("HTTP, floor: `GET /healthz`", connections as u64, "", figure.rate);
        figure.rate
    });
    for era in Era::BOTH {
        for (connections, floor) in [1, 8, 32].into_iter().zip(floor) {
            let aim = if connections == 8 { "> 4,000" } else { "" };
            let figure = run(connections, &load(era, email));
            figure.show(&format!("HTTP, {}", era.version()), connections as u64, aim, floor);
        }
    }
}

/// Latency and rate of one run.
struct Figure {
    times: Times,
    rate: f64,
}

impl Figure {
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    fn new(calls: u64, (times, took): (Times, Duration)) -> Self {
        Self { times, rate: calls as f64 / took.as_secs_f64() }
    }

    fn show(&self, name: &str, at_once: u64, aim: &str, floor: f64) {
        let [p50, p95, p99] = [50, 95, 99].map(|per_cent| millis(self.times.percentile(per_cent)));
        let rate = format!("{:.0}", self.rate);
        table::row(&[name, &at_once.to_string(), &p50, &p95, &p99, &rate, aim, &ratio(self.rate, floor)]);
    }
}

pub(crate) fn find(era: Era, id: u64, email: &str) -> String {
    era.call(id, "find_user", json!({"query": email}))
}

pub(crate) fn load(era: Era, email: &str) -> Load {
    let email = email.to_owned();
    Load::Calls { era, request: Arc::new(move |id| find(era, id, &email)) }
}

/// The address of some user of the tenant, who is in the server's index from then on.
pub(crate) fn some_email(client: &mut Client, era: Era) -> String {
    let found = client.ask(&era.call(1, "find_user", json!({"query": "a", "limit": 20})));
    let users = found["structuredContent"]["users"].as_array().cloned().unwrap_or_default();
    let plain = |email: &&str| email.is_ascii();
    let email =
        users.iter().filter_map(|user| user["email"].as_str()).find(plain).expect("a user").to_owned();
    warm_up(client, era, &email);
    email
}

/// Looks a user up until the index answers.
fn warm_up(client: &mut Client, era: Era, email: &str) {
    for id in 2..10 {
        let found = client.ask(&find(era, id, email));
        assert_eq!(found["structuredContent"]["match"], "exact", "{found}");
        if found["structuredContent"]["source"] == "index" {
            return;
        }
    }
    panic!("the index never answers");
}
