//! `zia-mcp approver`

use clap::{Args, Subcommand};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use super::{Exit, General, output, terminal::Terminal, wiring};
use crate::model::shown;

#[derive(Debug, Args)]
pub(super) struct Approver {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Enrol somebody: shows a QR code for their authenticator app, once
    Add {
        /// Who: a name of their own, not one of several people
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List those who may approve
    List,
    /// Take somebody's right to approve away
    Remove {
        /// Who
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl Approver {
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        match self.what {
            What::Add { name } => add(general, &name).await,
            What::List => list(general).await,
            What::Remove { name } => remove(general, &name).await,
        }
    }
}

/// Shows the secret at the terminal alone: what is piped could be read by an agent.
async fn add(general: &General, name: &str) -> Result<(), Exit> {
    let terminal = Terminal::open()?;
    let records = wiring::records(general).await?;
    let uri = records.enrol(name).await.map_err(Exit::of)?;
    let code = QrCode::with_error_correction_level(uri.as_bytes(), EcLevel::L).map_err(Exit::unavailable)?;
    terminal.say(code.render::<Dense1x2>().quiet_zone(true).build())?;
    terminal.say(uri.as_str())?;
    terminal.say(format!(
        "\n{} may approve now. Scan the code with an authenticator app, or type the secret in; it is not shown \
         again.\nWhoever has it can approve: clear the screen, and keep it from the machine's agents.",
        shown(name.trim())
    ))
}

async fn list(general: &General) -> Result<(), Exit> {
    let approvers = wiring::records(general).await?.approvers().await.map_err(Exit::of)?;
    if approvers.is_empty() {
        return output::line("nobody is enrolled yet: zia-mcp approver add NAME");
    }
    let rows: Vec<_> = approvers
        .iter()
        .map(|a| {
            let locked = a.locked_until.map(|until| format!("{until:.0}")).unwrap_or_default();
            [shown(&a.name), format!("{:.0}", a.enrolled_at), locked]
        })
        .collect();
    output::table(["NAME", "ENROLLED", "LOCKED UNTIL"], &rows)
}

async fn remove(general: &General, name: &str) -> Result<(), Exit> {
    if wiring::records(general).await?.remove_approver(name).await.map_err(Exit::of)? {
        return output::line(format!("{} may approve no more", shown(name.trim())));
    }
    Err(Exit::no_input(format!("there is no approver {}", shown(name.trim()))))
}
