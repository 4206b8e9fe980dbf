//! A user's whole life at trace level, and runs that fail.

use std::{
    fmt::Debug,
    fs, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;
use tempfile::TempDir;
use zia_mcp::{
    lifecycle::{
        Answer, Begun, DeprovisionUser, Failure, FindUser, INTERACTIVE, Lifecycle, Outcome, ProvisionUser,
        Records, RestoreUser, Settings, UpdateUser,
    },
    model::Clock,
    sandbox::{Fault, LimitPolicy, SandboxCredentials, SandboxOptions, SandboxTenant},
    store::{self, Store},
    zia::{self, Limits, Zia},
};

use super::{hunt::Hunt, tap::Tap};
use crate::support::local;

/// A tenant behind a tap, use cases over it, and what was said.
struct World {
    tenant: SandboxTenant,
    tap: Tap,
    dir: TempDir,
    hunt: Hunt,
    said: String,
    /// How long an operation is waited for.
    patience: Duration,
}

impl World {
    async fn new() -> Self {
        let options = SandboxOptions { users: 40, limits: LimitPolicy::Off, ..SandboxOptions::default() };
        let tenant = SandboxTenant::start(options).await.unwrap();
        let tap = Tap::before(tenant.address()).await;
        Self {
            tenant,
            tap,
            dir: TempDir::new().unwrap(),
            hunt: Hunt::default(),
            said: String::new(),
            patience: INTERACTIVE,
        }
    }

    fn credentials(&self) -> SandboxCredentials {
        SandboxCredentials { base_url: self.tap.url.clone(), ..self.tenant.settings() }
    }

    fn state_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    async fn store(&self) -> Store {
        let settings = store::Settings::embedded(self.state_dir());
        Store::open(&settings, Clock::system()).await.unwrap()
    }

    async fn lifecycle(&mut self, with: &SandboxCredentials) -> Lifecycle {
        let (password, key) = (with.password.clone().into(), with.api_key.clone().into());
        let settings = zia::Settings::api_key(None, Some(&with.base_url), &with.username, password, key);
        let settings = settings.unwrap().with_limits(Limits::unpaced()).with_jitter(|| 0.0);
        self.note(&settings);
        let zia = Zia::new(settings, Clock::system()).unwrap();
        let lifecycle = Lifecycle::new(zia, self.store().await, Settings::default(), Clock::system());
        self.hunt.add("the key for questions", *lifecycle.request_state_key());
        lifecycle
    }

    fn note(&mut self, thing: &impl Debug) {
        self.said += &format!("{thing:?}\n{thing:#?}\n");
    }

    fn told<T: Serialize + Debug>(&mut self, result: Result<T, Failure>) {
        self.note(&result);
        match result {
            Ok(value) => self.said += &serde_json::to_string(&value).unwrap(),
            Err(failure) => self.said += &format!("{failure} {}", serde_json::to_string(&failure).unwrap()),
        }
    }

    /// Waits for what began, with a person who types the address.
    async fn follow(
        &mut self,
        lifecycle: &Lifecycle,
        begun: Result<Begun, Failure>,
        email: &str,
    ) -> Option<Outcome> {
        self.note(&begun);
        let Ok(begun) = begun else { return None };
        if begun.question.is_some() {
            let answer = Answer::Accepted(email.to_owned());
            lifecycle.answer(local(), begun.operation.clone(), answer).await.unwrap();
        }
        let report = lifecycle.wait(&begun.operation, self.patience).await;
        let outcome = report.as_ref().ok().map(|report| report.outcome);
        self.told(report);
        outcome
    }

    /// Creates a user, finds, changes, deletes and restores them.
    async fn live(&mut self, lifecycle: &Lifecycle, email: &str) -> [Option<Outcome>; 4] {
        let group = self.tenant.groups().first().unwrap().id.to_string();
        let new = ProvisionUser {
            name: "Ada Byron".into(),
            email: email.into(),
            department: None,
            groups: vec![group],
            comments: None,
            dry_run: false,
        };
        let begun = lifecycle.provision(local(), new).await;
        let provisioned = self.follow(lifecycle, begun, email).await;
        let find = FindUser {
            query: email.into(),
            department: None,
            group: None,
            limit: 5,
            cursor: None,
            fresh: true,
        };
        self.told(lifecycle.find_user(find).await);
        let change = UpdateUser {
            user: email.into(),
            name: Some("Ada Lovelace".into()),
            department: None,
            add_groups: vec![],
            remove_groups: vec![],
            comments: None,
            dry_run: false,
        };
        let begun = lifecycle.update(local(), change).await;
        let updated = self.follow(lifecycle, begun, email).await;
        let leaver = DeprovisionUser { user: email.into(), reason: Some("leaves".into()) };
        let begun = lifecycle.deprovision(local(), leaver).await;
        let deprovisioned = self.follow(lifecycle, begun, email).await;
        let begun = lifecycle.restore(local(), RestoreUser { capture: email.into() }).await;
        let restored = self.follow(lifecycle, begun, email).await;
        self.told(lifecycle.tenant_status(&local()).await);
        self.note(&lifecycle);
        lifecycle.sign_out().await;
        [provisioned, updated, deprovisioned, restored]
    }

    /// Learns every secret there was, from both ends of the wire and from the disk.
    fn learn_secrets(&mut self) {
        let own = self.tenant.settings();
        self.hunt.add("the password", &own.password);
        self.hunt.add("the API key", &own.api_key);
        for password in self.tap.between("\"password\":\"", '"') {
            self.hunt.add("a password on the wire", password);
        }
        for key in self.tap.between("\"apiKey\":\"", '"') {
            self.hunt.add("an obfuscated API key", key);
        }
        for session in self.tap.between("JSESSIONID=", ';') {
            self.hunt.add("a session cookie", session);
        }
        self.hunt.add_keys(&self.state_dir().join("key"));
    }
}

/// Everything that was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn trace() -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    (log, tracing::subscriber::set_default(subscriber.finish()))
}

#[tokio::test]
async fn t18_a_whole_life_shows_no_secret() {
    let (log, _guard) = trace();
    let mut world = World::new().await;
    let lifecycle = world.lifecycle(&world.credentials()).await;
    let outcomes = world.live(&lifecycle, "ada@example.com").await;
    assert_eq!(outcomes, [Some(Outcome::Done); 4], "{}", world.said);
    let records = Records::new(world.store().await, Clock::system());
    let operations = records.operations(10).await.unwrap();
    assert_eq!(operations.len(), 4);
    for operation in operations {
        world.told(records.operation(&operation.operation_id.to_string()).await);
    }
    for capture in records.captures(10).await.unwrap() {
        world.note(&capture);
        let shown = records.capture(&capture.id.to_string()).await;
        world.note(&shown);
    }
    world.learn_secrets();
    // The password of the sign-in and the two that were generated.
    assert_eq!(world.tap.between("\"password\":\"", '"').len(), 3);
    assert!(world.hunt.len() >= 9, "every secret was seen on the wire");
    check(&world, &log);
}

#[tokio::test]
async fn t18_runs_that_fail_show_no_secret() {
    let (log, _guard) = trace();
    let mut world = World::new().await;
    // What a fault leaves unsettled is not waited for.
    world.patience = Duration::from_secs(1);
    let mut wrong = world.credentials();
    wrong.password = "Wr0ng-canary-password!".into();
    world.hunt.add("the wrong password", &wrong.password);
    let mut nowhere = world.credentials();
    // A port that nobody listens on any more.
    nowhere.base_url =
        format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    for credentials in [wrong, nowhere] {
        let lifecycle = world.lifecycle(&credentials).await;
        assert_eq!(world.live(&lifecycle, "eve@example.com").await, [None; 4]);
    }
    let html = || Fault::HtmlPage { status: 200, applied: false };
    for fault in [html(), Fault::Empty500, Fault::SessionExpired, Fault::TruncatedBody { after: Some(7) }] {
        let lifecycle = world.lifecycle(&world.credentials()).await;
        for endpoint in [zia_mcp::sandbox::Endpoint::CreateUser, zia_mcp::sandbox::Endpoint::Login] {
            world.tenant.faults().switch_on(fault.clone().on(endpoint).times(3));
            world.live(&lifecycle, "eve@example.com").await;
            world.tenant.faults().clear();
        }
    }
    world.learn_secrets();
    check(&world, &log);
}

fn check(world: &World, log: &Log) {
    let log = log.0.lock().unwrap().clone();
    assert!(String::from_utf8_lossy(&log).contains("ZIA replied"), "the log was not captured");
    world.hunt.assert_absent("the log", &log);
    world.hunt.assert_absent("what was said", &world.said);
    world.hunt.assert_absent_from_files(&world.state_dir());
    assert!(fs::metadata(world.state_dir().join("store.db")).unwrap().len() > 0);
}
