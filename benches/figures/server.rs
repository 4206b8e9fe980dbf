//! The processes that are measured, and the tenant they work on.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;

/// The bearer token of every HTTP server here.
pub(crate) const TOKEN: &str = "figures-0123456789abcdef0123456789abcdef";

/// A process that ends with its owner.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Resident memory in KiB, where `/proc` tells it.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.told("VmRSS:")
    }

    /// Resident memory at most so far in MiB; zero where the system does not tell.
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    pub(crate) fn peak(&self) -> f64 {
        self.told("VmHWM:").unwrap_or_default() as f64 / 1024.0
    }

    fn told(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

/// The binary, in an environment of its own.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zia-mcp"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

fn start(mut command: Command) -> (Process, BufReader<ChildStdout>) {
    let mut child = command.spawn().expect("the binary starts");
    let stdout = child.stdout.take().expect("a pipe");
    (Process(child), BufReader::new(stdout))
}

fn line(stdout: &mut impl BufRead) -> String {
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    line.trim_end().to_owned()
}

/// A directory for the store, its owner's alone.
pub(crate) fn state() -> TempDir {
    let alone = Permissions::from_mode(0o700);
    tempfile::Builder::new().permissions(alone).tempdir().expect("a directory")
}

/// `zia-mcp sandbox`: a tenant outside the measured process.
pub(crate) struct Tenant {
    settings: Vec<(String, String)>,
    _process: Process,
}

impl Tenant {
    pub(crate) fn start() -> Self {
        let mut command = binary();
        command.args(["sandbox", "--listen", "127.0.0.1:0"]);
        let (process, mut stdout) = start(command);
        line(&mut stdout);
        let settings = (0..7).map(|_| {
            let line = line(&mut stdout);
            let (name, value) = line.split_once('=').expect("a setting");
            (name.to_owned(), value.trim_matches('\'').to_owned())
        });
        let settings = settings.filter(|(name, _)| name.starts_with("ZIA_")).collect();
        Self { settings, _process: process }
    }

    /// `zia-mcp serve` against this tenant.
    pub(crate) fn serve(&self, state: &Path) -> Command {
        let mut command = binary();
        command.arg("serve").arg("--state-dir").arg(state).envs(self.settings.iter().cloned());
        command
    }
}

/// `zia-mcp serve --http`.
pub(crate) struct HttpServer {
    pub(crate) process: Process,
    /// Host and port.
    pub(crate) address: String,
    _state: TempDir,
}

impl HttpServer {
    pub(crate) fn start(tenant: &Tenant) -> Self {
        let state = state();
        let mut command = tenant.serve(state.path());
        command.args(["--http", "127.0.0.1:0"]).env("ZIA_MCP_HTTP_TOKEN", TOKEN);
        let (process, mut stdout) = start(command);
        let line = line(&mut stdout);
        let address = line.strip_prefix("listening on http://").expect("a URL").to_owned();
        Self { process, address, _state: state }
    }
}
