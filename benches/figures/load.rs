//! Two thousand connections, half of them slow: is the server still heard, and how large does it get?

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::io::AsyncWriteExt;

use super::{
    calls,
    http::Connection,
    messages::Era,
    server::{HttpServer, Tenant, state},
    stats::{Times, millis, ratio},
    stdio::Client,
    table,
};

/// Connections that call, and as many that only drip.
const HALF: usize = 1_000;

/// How long each run takes: longer than a head may (10 s), so that slow ones are cut and come back.
const RUN: Duration = Duration::from_secs(15);

/// Pause between two looks at `/healthz`.
const PROBE_EVERY: Duration = Duration::from_millis(20);

/// Pause between two bytes of a slow connection.
const DRIP_EVERY: Duration = Duration::from_secs(1);

/// What runs beside the looks at `/healthz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crowd {
    Nobody,
    /// Half drip, half call once a second.
    Paced,
    /// Half drip, half call again as soon as they are answered.
    Greedy,
}

pub(crate) fn print() {
    table::head(
        &format!("{} connections, half of them slow, for {} s", 2 * HALF, RUN.as_secs()),
        &["load", "calls/s", "`/healthz` 50 %", "99 %", "aim", "99 % / floor", "resident at most", "aim"],
    );
    let email = calls::some_email(
        &mut Client::start(Tenant::start().serve(state().path()), Era::Sessions),
        Era::Sessions,
    );
    let floor = run(Crowd::Nobody, "nobody (floor)", &email, None);
    for (crowd, name) in
        [(Crowd::Paced, "every caller once a second"), (Crowd::Greedy, "every caller without a pause")]
    {
        run(crowd, name, &email, Some(floor));
    }
}

fn run(crowd: Crowd, name: &str, email: &str, floor: Option<Duration>) -> Duration {
    let tenant = Tenant::start();
    let server = HttpServer::start(&tenant);
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = std::thread::spawn({
        let (address, email) = (server.address.clone(), email.to_owned());
        let (over, done) = (Arc::clone(&over), Arc::clone(&done));
        move || press(crowd, &address, &email, &over, &done)
    });
    let (times, resident) = probe(&server);
    over.store(true, Ordering::Relaxed);
    load.join().expect("the load ends");
    let worst = times.percentile(99);
    table::row(&[
        name,
        &(done.load(Ordering::Relaxed) / RUN.as_secs()).to_string(),
        &millis(times.median()),
        &millis(worst),
        "< 100 ms",
        &ratio(worst.as_secs_f64(), floor.unwrap_or(worst).as_secs_f64()),
        &format!("{} MiB", resident / 1024),
        "< 256 MiB",
    ]);
    worst
}

/// Looks at `/healthz` over a new connection each time, as a probe does; and at the memory.
fn probe(server: &HttpServer) -> (Times, u64) {
    let (until, mut times, mut resident) = (Instant::now() + RUN, Vec::new(), 0);
    while Instant::now() < until {
        let began = Instant::now();
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        let head = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address);
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server writes");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        times.push(began.elapsed());
        resident = resident.max(server.process.resident().unwrap_or_default());
        std::thread::sleep(PROBE_EVERY);
    }
    (Times::new(times), resident)
}

fn press(crowd: Crowd, address: &str, email: &str, over: &Arc<AtomicBool>, done: &Arc<AtomicU64>) {
    if crowd == Crowd::Nobody {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut all = Vec::new();
        for each in 0..HALF {
            all.push(tokio::task::spawn_local(drip(address.to_owned(), each % 2 == 0, Arc::clone(over))));
            let caller =
                call(crowd, address.to_owned(), email.to_owned(), Arc::clone(over), Arc::clone(done));
            all.push(tokio::task::spawn_local(caller));
        }
        for one in all {
            one.await.expect("a connection's task");
        }
    });
}

/// A connection that sends a byte a second of a head, or of a body, and begins again when it is cut.
async fn drip(address: String, in_head: bool, over: Arc<AtomicBool>) {
    let head = super::http::head(&address);
    let begin = if in_head {
        "POST /mcp HTTP/1.1\r\nX-Slow: ".into()
    } else {
        format!("{head}Content-Length: 900\r\n\r\n")
    };
    while !over.load(Ordering::Relaxed) {
        let Ok(mut stream) = tokio::net::TcpStream::connect(&address).await else { continue };
        let mut sent = stream.write_all(begin.as_bytes()).await;
        while sent.is_ok() && !over.load(Ordering::Relaxed) {
            tokio::time::sleep(DRIP_EVERY).await;
            sent = stream.write_all(b" ").await;
        }
    }
}

/// A connection that calls a tool; what is shed with 429 or 503 comes again a second later.
async fn call(crowd: Crowd, address: String, email: String, over: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let load = calls::load(Era::Stateless, &email);
    let mut connection = Connection::open(&address, &load).await;
    let mut id = 0;
    while !over.load(Ordering::Relaxed) {
        id += 1;
        let answered = connection.attempt(&calls::find(Era::Stateless, id, &email)).await;
        done.fetch_add(u64::from(answered), Ordering::Relaxed);
        if crowd == Crowd::Paced || !answered {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
