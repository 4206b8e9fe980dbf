//! A tenant and a server without limits of calls, each in a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use zia_mcp::{
    lifecycle::{IndexSettings, Lifecycle, Settings},
    mcp::{Server, stdio},
    model::{Channel, Clock},
    sandbox::{LimitPolicy, SandboxOptions, SandboxTenant},
    store::{self, Store},
    zia::{self, Limits, Zia},
};

use crate::server::Process;

/// What this program is started with to be the one or the other.
const TENANT: &str = "be-a-tenant";
const SERVER: &str = "be-a-server";

/// A sandbox tenant in a process of its own.
pub(crate) struct Tenant {
    /// Base URL, user, password, API key.
    settings: Vec<String>,
    _process: Process,
}

impl Tenant {
    pub(crate) fn start(users: usize) -> Self {
        let mut command = ourselves();
        command.args([TENANT, &users.to_string()]);
        let mut child = command.spawn().expect("this program starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let settings = stdout.lines().take(4).map(|line| line.expect("a line")).collect();
        Self { settings, _process: Process(child) }
    }

    /// A server of this tenant.
    pub(crate) fn server(&self, state: &Path) -> Command {
        let mut command = ourselves();
        command.arg(SERVER).arg(state).args(&self.settings);
        command
    }

    /// User lists that the tenant was asked for.
    pub(crate) fn lists(&self) -> u64 {
        let address = self.settings[0].trim_start_matches("http://").split('/').next().expect("a host");
        let mut stream = TcpStream::connect(address).expect("the tenant answers");
        let request =
            format!("GET /_sandbox/counters HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the tenant reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the tenant writes");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let counters: serde_json::Value = serde_json::from_str(body).expect("JSON");
        counters["GET /users"].as_u64().unwrap_or_default()
    }
}

/// This program once more, in an environment of its own.
fn ourselves() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// Is a tenant until it is killed, if the program was started to be one.
pub(crate) fn tenant(arguments: &[String]) -> bool {
    let [word, users] = arguments else { return false };
    if word != TENANT {
        return false;
    }
    Runtime::new().expect("a runtime").block_on(async {
        let users = users.parse().expect("a number");
        let options = SandboxOptions { users, limits: LimitPolicy::Off, ..SandboxOptions::default() };
        let tenant = SandboxTenant::start(options).await.expect("a tenant");
        let own = tenant.settings();
        println!("{}\n{}\n{}\n{}", own.base_url, own.username, own.password, own.api_key);
        std::future::pending::<()>().await;
    });
    true
}

/// Is a server over stdio, if the program was started to be one.
pub(crate) fn serve(arguments: &[String]) -> bool {
    let [word, state, base_url, username, password, api_key] = arguments else { return false };
    if word != SERVER {
        return false;
    }
    Runtime::new().expect("a runtime").block_on(async {
        let clock = Clock::system();
        let secrets = (password.clone().into(), api_key.clone().into());
        let settings = zia::Settings::api_key(None, Some(base_url), username, secrets.0, secrets.1);
        let settings = settings.expect("settings").with_limits(Limits::unpaced());
        let zia = Zia::new(settings, clock.clone()).expect("a client");
        let place = store::Settings::embedded(state.into());
        let store = Store::open(&place, clock.clone()).await.expect("a store");
        let index = IndexSettings {
            pause: Duration::ZERO,
            tick: Duration::from_millis(100),
            ..IndexSettings::default()
        };
        let lifecycle = Lifecycle::new(zia, store, Settings { index, ..Settings::default() }, clock);
        tokio::spawn(lifecycle.clone().keep_index());
        let shutdown = CancellationToken::new();
        let server = Server::new(lifecycle, Channel::Stdio, shutdown.clone()).expect("a server");
        let _ = stdio::serve(server, tokio::io::stdin(), tokio::io::stdout(), shutdown).await;
    });
    true
}
