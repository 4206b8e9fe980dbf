//! The command line: one file per subcommand, wiring, exit codes.

mod approver;
mod audit;
mod call;
mod captures;
mod checkpoints;
mod decide;
mod demo;
mod doctor;
mod exit;
mod operations;
mod output;
mod password;
mod sandbox;
mod serve;
mod store;
mod terminal;
mod token;
mod wiring;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;

/// What a newcomer may want to type.
const FIRST: &str =
    "First: `zia-mcp demo` shows the main job on a tenant of its own; `zia-mcp doctor` checks yours.";

/// Manages the users of a Zscaler Internet Access tenant over the Model Context Protocol.
#[derive(Debug, Parser)]
#[command(name = "zia-mcp", version, about, max_term_width = 100, after_help = FIRST)]
pub struct Cli {
    #[command(flatten)]
    general: General,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct General {
    /// Settings file (TOML); also ZIA_MCP_CONFIG
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the store and its key live; also ZIA_MCP_STATE_DIR
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How much is logged to stderr: error, warn, info, debug or trace [default: info]
    #[arg(long, global = true, value_name = "LEVEL", hide_possible_values = true,
          value_parser = ["error", "warn", "info", "debug", "trace"])]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP over stdio, or over HTTP
    Serve(serve::Serve),
    /// Take the guided tour on the sandbox tenant
    Demo(demo::Demo),
    /// Run the sandbox tenant alone
    Sandbox(sandbox::Sandbox),
    /// Call one tool and print its result as JSON
    Call(call::Call),
    /// Approve an operation, as an enrolled approver
    Approve(decide::Decide),
    /// Reject an operation, as an enrolled approver
    Reject(decide::Decide),
    /// Show the first password of a new user, once
    Password(password::Password),
    /// Enrol those who may approve
    Approver(approver::Approver),
    /// Make a bearer token for a caller over HTTP
    Token(token::Token),
    /// Show open and recent operations, or one whole
    Operations(operations::Operations),
    /// Show the before-images of deleted users
    Captures(captures::Captures),
    /// Check the audit trail, or write it out
    Audit(audit::Audit),
    /// Change the key of the store
    Store(store::Store),
    /// Check settings, cloud host, clock, sign-in, tenant and store
    Doctor(doctor::Doctor),
}

/// The tenant that a command works on.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Tenant")]
struct TenantChoice {
    /// Use an embedded sandbox tenant instead of a real one
    #[arg(long)]
    sandbox: bool,
    /// Users of the embedded sandbox tenant
    #[arg(long, value_name = "N", default_value_t = 1_000, requires = "sandbox")]
    sandbox_users: usize,
}

impl Cli {
    /// Runs the subcommand to its end.
    ///
    /// # Errors
    /// The message for the person at the terminal, and the exit code.
    pub async fn run(self) -> Result<(), Exit> {
        match self.command {
            Command::Serve(serve) => Box::pin(serve.run(&self.general)).await,
            Command::Demo(demo) => Box::pin(demo.run(&self.general)).await,
            Command::Sandbox(sandbox) => Box::pin(sandbox.run(&self.general)).await,
            Command::Call(call) => Box::pin(call.run(&self.general)).await,
            Command::Approve(decide) => Box::pin(decide.run(&self.general, true)).await,
            Command::Reject(decide) => Box::pin(decide.run(&self.general, false)).await,
            Command::Password(password) => Box::pin(password.run(&self.general)).await,
            Command::Approver(approver) => Box::pin(approver.run(&self.general)).await,
            Command::Token(token) => token.run(),
            Command::Operations(operations) => Box::pin(operations.run(&self.general)).await,
            Command::Captures(captures) => Box::pin(captures.run(&self.general)).await,
            Command::Audit(audit) => Box::pin(audit.run(&self.general)).await,
            Command::Store(store) => Box::pin(store.run(&self.general)).await,
            Command::Doctor(doctor) => Box::pin(doctor.run(&self.general)).await,
        }
    }
}
