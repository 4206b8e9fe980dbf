//! `zia-mcp captures purge`

use std::io::IsTerminal as _;

use clap::Args;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    cli::{Exit, General, output, wiring},
    lifecycle::Records,
    model::CaptureId,
    store::{self, Purgeable},
};

#[derive(Debug, Args)]
pub(super) struct Purge {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The capture of this id; may be given several times
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Captures that were taken more than so many days ago
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=36_500))]
    older_than: Option<u32>,
    /// Captures of the user with this address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
}

impl Purge {
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let records = wiring::records(general).await?;
        let (found, why) = self.which.find(&records).await?;
        let (ended, open): (Vec<_>, Vec<_>) = found.into_iter().partition(|c| c.ended);
        let ids: Vec<_> = ended.into_iter().map(|c| c.id).collect();
        if !ids.is_empty() && !self.yes {
            confirm(ids.len()).await?;
        }
        // Also with nothing to purge: an earlier run may have ended before the log was emptied.
        let purged = records.purge(&ids, why).await.map_err(Exit::unavailable)?;
        output::line(format!("{} purged", purged.captures))?;
        if !open.is_empty() {
            let left = "kept: their operations have not ended, so their users may not be deleted yet";
            output::line(format!("{} {left}", open.len()))?;
        }
        if purged.log_cleared {
            return Ok(());
        }
        Err(Exit::unavailable(
            "the keys are destroyed, but another process was reading, so store.db-wal may still hold them: \
             run the same command again",
        ))
    }
}

impl Which {
    /// The captures that are meant, and the word for the audit trail.
    async fn find(&self, records: &Records) -> Result<(Vec<Purgeable>, &'static str), Exit> {
        if let Some(days) = self.older_than {
            return Ok((records.purgeable_of_age(days).await.map_err(Exit::unavailable)?, "age"));
        }
        if let Some(email) = &self.email {
            let which = store::Purge::OfEmail(email);
            return Ok((records.purgeable(which).await.map_err(Exit::unavailable)?, "address"));
        }
        let mut found = Vec::new();
        for text in &self.id {
            let info = records.capture_info(text).await.map_err(Exit::no_input)?;
            let one = records.purgeable(store::Purge::Id(&info.id)).await.map_err(Exit::unavailable)?;
            refuse_open(&one)?;
            found.extend(one);
        }
        Ok((found, "id"))
    }
}

/// Whoever names a capture is told that it is still needed, before any is purged.
fn refuse_open(found: &[Purgeable]) -> Result<(), Exit> {
    let open: Option<&CaptureId> = found.iter().find(|c| !c.ended).map(|c| &c.id);
    open.map_or(Ok(()), |id| {
        Err(Exit::unavailable(format!(
            "the operation of {id} has not ended, so its user may not be deleted yet; nothing was purged"
        )))
    })
}

/// Has the person type the number of captures.
async fn confirm(count: usize) -> Result<(), Exit> {
    if !std::io::stdin().is_terminal() {
        return Err(Exit::usage(format!(
            "{count} would be purged; --yes goes ahead where nobody can be asked"
        )));
    }
    output::line(format!(
        "{count} before-images will be destroyed for good: nothing brings them back but a backup of the \
         store with its key.\nTo go ahead, type {count}:"
    ))?;
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await.map_err(Exit::unavailable)?;
    if line.trim() == count.to_string() { Ok(()) } else { Err(Exit::usage("nothing was purged")) }
}
