//! The index of users by the size of the tenant: time, calls, disk, memory and look-ups.
//!
//! Server and tenant are processes of their own, started from this benchmark without limits of
//! calls: with ZIA's limits, filling takes as many twelve seconds as it takes calls, and after twenty
//! of them an hour. The words after `index` are the sizes; a plot of all of them is written.

mod plot;
mod processes;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use zia_mcp::{
    model::Clock,
    store::{Settings, Store},
};

use self::processes::Tenant;
use super::{
    messages::Era,
    server::state,
    stats::{Times, millis},
    stdio::Client,
    table,
};

pub(crate) use processes::{serve, tenant};

const SIZES: [usize; 4] = [1_000, 20_000, 200_000, 1_400_000];

/// Look-ups of each kind.
const LOOK_UPS: u64 = 2_000;
const SEARCHES: u64 = 200;

/// What was measured of one size.
pub(crate) struct Figures {
    users: usize,
    seconds: f64,
    calls: u64,
    bytes_per_user: f64,
    /// MiB at most while the list was read, and after all look-ups have been answered.
    indexing: f64,
    serving: f64,
    by_email: Times,
    by_part: Times,
}

pub(crate) fn print() {
    let sizes: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    table::head(
        &format!("The index of users ({LOOK_UPS} look-ups by e-mail, {SEARCHES} by a part of a name)"),
        &[
            "users",
            "time to index",
            "calls",
            "bytes/user on disk",
            "at most while indexing",
            "while serving",
            "by e-mail 50 % / 99 %",
            "by name part 50 % / 99 %",
        ],
    );
    let all: Vec<_> = sizes.into_iter().map(measured).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.readme/index.svg");
    std::fs::write(path, plot::svg(&all)).expect("the plot is written");
}

fn measured(users: usize) -> Figures {
    let (tenant, state) = (Tenant::start(users), state());
    let began = Instant::now();
    let mut client = Client::start(tenant.server(state.path()), Era::Sessions);
    let mut id = 0;
    let mut call = |client: &mut Client, tool: &str, arguments: Value| {
        id += 1;
        client.ask(&Era::Sessions.call(id, tool, arguments))["structuredContent"].clone()
    };
    while call(&mut client, "tenant_status", json!({}))["index"]["complete"] != true {
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = began.elapsed().as_secs_f64();
    let (calls, indexing) = (tenant.lists(), client.process.peak());
    let people: Vec<Value> = ["an", "li", "ro", "ma", "ki"]
        .iter()
        .flat_map(|part| {
            let found = call(&mut client, "find_user", json!({"query": part, "limit": 100}));
            found["users"].as_array().cloned().unwrap_or_default()
        })
        .collect();
    let texts = |field: &str| -> Vec<String> {
        people.iter().filter_map(|user| user[field].as_str().map(str::to_owned)).collect()
    };
    let (emails, names) = (texts("email"), texts("name"));
    let of = |texts: &[String], id: u64| {
        let at = usize::try_from(id).expect("a small number") % texts.len();
        Era::Sessions.call(id, "find_user", json!({"query": texts[at]}))
    };
    let by_email = client.load(LOOK_UPS, 1, |id| of(&emails, id), r#""source":"index""#).0;
    let by_part = client.load(SEARCHES, 1, |id| of(&names, id), r#""source":"index""#).0;
    assert_eq!(tenant.lists(), calls, "look-ups cost nothing");
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let serving = client.process.resident().unwrap_or_default() as f64 / 1024.0;
    drop(client);
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let bytes_per_user = on_disk(state.path()) as f64 / users as f64;
    let figures = Figures { users, seconds, calls, bytes_per_user, indexing, serving, by_email, by_part };
    figures.show();
    figures
}

/// The size of a store's file, once all that was written is in it.
fn on_disk(state: &Path) -> u64 {
    Runtime::new().expect("a runtime").block_on(async {
        let place = Settings::embedded(state.into());
        let store = Store::open(&place, Clock::system()).await.expect("a store");
        store.checkpoint().await.expect("a checkpoint");
        store.close().await;
    });
    std::fs::metadata(state.join("store.db")).expect("the file is there").len()
}

impl Figures {
    fn show(&self) {
        let both = |times: &Times| format!("{} / {}", millis(times.median()), millis(times.percentile(99)));
        table::row(&[
            self.users.to_string(),
            format!("{:.1} s", self.seconds),
            self.calls.to_string(),
            format!("{:.0}", self.bytes_per_user),
            format!("{:.0} MiB", self.indexing),
            format!("{:.0} MiB", self.serving),
            both(&self.by_email),
            both(&self.by_part),
        ]);
    }
}
