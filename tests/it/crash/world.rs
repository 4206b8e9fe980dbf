//! A tenant, a state directory, and one life of the server after another on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::process::Command;
use zia_mcp::{
    model::State,
    sandbox::{LimitPolicy, SandboxOptions, SandboxTenant, SandboxUser},
};

use crate::place::Place;

use super::{
    collect,
    control::Control,
    facts::{Facts, Op, Password},
    life::{Asked, Life},
    oracles, shim,
    windows::{self, Limit},
};

/// How long everything may take to come to rest: two rounds of recovery, each with all its looks.
const REST: Duration = Duration::from_secs(120);

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Provision,
    Update,
    Deprovision,
    Restore,
    Activate,
}

impl Flow {
    pub(super) const ALL: [Self; 5] =
        [Self::Provision, Self::Update, Self::Deprovision, Self::Restore, Self::Activate];
}

const CONFIG: &str = r#"
[provision]
initial_password = "handoff"
[index]
enabled = false
"#;

/// What the lives of the server share.
pub(super) struct World {
    pub(super) tenant: SandboxTenant,
    pub(super) control: Control,
    pub(super) dir: Place,
    shim: PathBuf,
    before: BTreeMap<u64, SandboxUser>,
    /// Addresses of users whom another administrator may have changed.
    pub(super) foreign: BTreeSet<String>,
    /// Operations that were looked at after their end.
    told: BTreeSet<String>,
    serial: u32,
    limits: Vec<Limit>,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::of(40, Place::new(), windows::lifted()).await
    }

    /// One with so many users, whose store is there, and whose servers keep to some limits.
    ///
    /// The tenant itself lets everything pass, and its journal tells what came.
    pub(super) async fn of(users: usize, dir: Place, limits: Vec<Limit>) -> Self {
        let options = SandboxOptions {
            users,
            limits: LimitPolicy::Off,
            edit_lock_hold: Duration::from_millis(20),
            ..SandboxOptions::default()
        };
        let tenant = SandboxTenant::start(options).await.unwrap();
        std::fs::write(dir.path().join("config"), format!("{CONFIG}{}", windows::settings(&limits))).unwrap();
        Self {
            before: by_id(tenant.users()),
            control: Control::new(&dir.path().join("control")),
            shim: shim::built(),
            foreign: BTreeSet::new(),
            told: BTreeSet::new(),
            serial: 0,
            limits,
            tenant,
            dir,
        }
    }

    /// The directory of the key that replicas share.
    pub(super) fn make_state(&self) {
        DirBuilder::new().mode(0o700).create(self.dir.state()).unwrap();
    }

    pub(super) fn trace(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("trace")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let own = self.tenant.settings();
        let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
        command.env_clear().kill_on_drop(true).args(arguments).stdin(Stdio::null()).envs([
            ("ZIA_BASE_URL", &own.base_url),
            ("ZIA_USERNAME", &own.username),
            ("ZIA_PASSWORD", &own.password),
            ("ZIA_API_KEY", &own.api_key),
        ]);
        command
            .envs(self.dir.env())
            .env("ZIA_MCP_STATE_DIR", self.dir.state())
            .env("ZIA_MCP_CONFIG", self.dir.path().join("config"));
        command
    }

    /// A new life; `None` if it was killed before it answered.
    pub(super) async fn start(&self) -> Option<Life> {
        let log = File::options().append(true).create(true).open(self.dir.path().join("log")).unwrap();
        let mut command = self.command(&["serve"]);
        command.env("LD_PRELOAD", &self.shim).stderr(log);
        command.env("CRASH_CONTROL", self.dir.path().join("control"));
        let port = self.dir.url().map(|url| url.parse::<url::Url>().unwrap().port().unwrap());
        command.envs(port.map(|port| ("CRASH_DATABASE_PORT", port.to_string())));
        command.env("CRASH_TRACE", self.dir.path().join("trace"));
        Life::start(&mut command).await
    }

    /// A replica with a state directory of its own, and its own way to the database; `None` if it was
    /// cut off too early.
    pub(super) async fn replica(&self, n: usize, url: &str) -> Option<Life> {
        let log = File::options().append(true).create(true).open(self.dir.path().join("log")).unwrap();
        let mut command = self.command(&["serve"]);
        command.env("ZIA_MCP_STATE_DIR", self.dir.path().join(format!("replica-{n}")));
        command.env("ZIA_MCP_KEY_FILE", self.dir.state().join("key")).env("ZIA_MCP_DATABASE_URL", url);
        Life::start(command.stderr(log)).await
    }

    /// The audit trail as it is right after a kill, by the binary's own check (I6).
    pub(super) async fn trail_is_whole(&self) {
        let output = self.command(&["audit", "verify"]).output().await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "I6: {told}\n{}", self.log());
    }

    /// What to ask for; whatever has to be so before it is done in this life.
    pub(super) async fn asked(&mut self, flow: Flow, life: &mut Life, rng: &mut StdRng) -> Asked {
        self.serial += 1;
        match flow {
            Flow::Provision => {
                let email = format!("new.{}@example.com", self.serial);
                let group = self.tenant.groups()[0].id.to_string();
                let user = json!({"name": format!("New {}", self.serial), "email": email, "groups": [group]});
                ("provision_user", user)
            }
            Flow::Update => {
                let name = format!("Renamed {}", self.serial);
                ("update_user", json!({"user": self.plain(rng).email, "name": name}))
            }
            Flow::Deprovision => ("deprovision_user", json!({"user": self.plain(rng).email})),
            Flow::Restore => {
                let email = self.plain(rng).email;
                let gone = life.call("deprovision_user", json!({"user": email})).await.unwrap();
                assert!(gone["error"].is_null(), "{gone}");
                ("restore_user", json!({"capture": email}))
            }
            Flow::Activate => {
                self.tenant.other_admin().stage_foreign_change();
                ("activate", json!({}))
            }
        }
    }

    /// Somebody whom the API may change, and whom ZIA takes back.
    fn plain(&self, rng: &mut StdRng) -> SandboxUser {
        self.several(1, rng).remove(0)
    }

    /// So many of those.
    pub(super) fn several(&self, count: usize, rng: &mut StdRng) -> Vec<SandboxUser> {
        let plain = |u: &SandboxUser| !u.admin_user && !u.non_editable && u.email.is_ascii();
        let usual = |u: &SandboxUser| u.email.ends_with("@example.com") && !u.groups.is_empty();
        let mut users: Vec<_> = self.tenant.users().into_iter().filter(|u| plain(u) && usual(u)).collect();
        (0..count).map(|_| users.swap_remove(rng.random_range(0..users.len()))).collect()
    }

    /// Waits until nothing is under way; what is not active then is activated. `None` if killed.
    pub(super) async fn rest(&self, life: &mut Life, when: &str) -> Option<()> {
        let end = Instant::now() + REST;
        loop {
            let under_way = self.under_way().await;
            if under_way.is_empty() {
                return Some(());
            }
            assert!(Instant::now() < end, "I11: {under_way:?}\n{when}\n{}", self.log());
            for (id, _) in &under_way {
                life.call("get_operation", json!({"operation_id": id, "wait_seconds": 10})).await?;
            }
            if under_way.iter().all(|(_, state)| *state == State::NotActive) {
                life.call("activate", json!({})).await?;
            } else {
                // An outcome that is read for in rounds.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn under_way(&self) -> Vec<(String, State)> {
        let mut all = collect::operations(&self.dir).await;
        all.retain(|o| !o.state.is_ended() && o.state != State::Awaiting);
        all.into_iter().map(|o| (o.id.to_string(), o.state)).collect()
    }

    pub(super) async fn facts(&mut self) -> Facts {
        let on_record = collect::on_record(&self.dir).await;
        let ended = on_record.operations.iter().filter(|op| op.state.is_ended()).map(|op| op.id.clone());
        let fresh: BTreeSet<_> = ended.filter(|id| self.told.insert(id.clone())).collect();
        let passwords = self.passwords(on_record.operations.iter().filter(|op| fresh.contains(&op.id))).await;
        Facts {
            journal: self.tenant.journal(),
            operations: on_record.operations,
            captures: on_record.captures,
            intents: on_record.intents,
            chain: on_record.chain,
            before: self.before.clone(),
            now: by_id(self.tenant.users()),
            staged: self.tenant.staged_changes(),
            foreign: self.foreign.clone(),
            fresh,
            passwords,
            limits: self.limits.clone(),
            // A server reads on where its own store does not count, and no other one is there (F3, F4).
            departures: self.dir.url().is_some().then_some(on_record.departures),
        }
    }

    /// Has the passwords of creates shown, each beside the one that the tenant knows.
    async fn passwords(&self, fresh: impl Iterator<Item = &Op>) -> BTreeMap<String, Password> {
        let creates: Vec<_> = fresh.filter(|op| op.main_write() == "create_user").collect();
        if creates.is_empty() {
            return BTreeMap::new();
        }
        let shown = collect::passwords(&self.dir, creates.iter().copied()).await;
        let signs_in = |op: &Op| op.subject.and_then(|id| self.tenant.password_of(id));
        let pair = |op: &Op| Password { shown: shown[&op.id].clone(), signs_in: signs_in(op) };
        creates.into_iter().map(|op| (op.id.clone(), pair(op))).collect()
    }

    /// Holds everything against the invariants; `when` says what happened before.
    pub(super) async fn check(&mut self, when: &str) -> Facts {
        let facts = self.facts().await;
        let broken = oracles::broken(&facts);
        if !broken.is_empty() {
            let named = |id: &str| broken.iter().any(|what| what.contains(id));
            let operations: Vec<_> = facts.operations.iter().filter(|op| named(&op.id)).collect();
            let calls: Vec<Value> = facts.journal.iter().rev().take(40).rev().map(|e| json!(e)).collect();
            let calls: Vec<_> = calls.iter().map(Value::to_string).collect();
            panic!("{when}\n{broken:#?}\n{operations:?}\n{}\n{}", calls.join("\n"), self.log());
        }
        facts
    }

    /// The end of the server's log.
    pub(super) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

fn by_id(users: Vec<SandboxUser>) -> BTreeMap<u64, SandboxUser> {
    users.into_iter().map(|user| (user.id, user)).collect()
}
