//! `zia-mcp store rekey`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    cli::{
        Exit, General,
        output::{WARN, line, styled},
        wiring,
    },
    config::Config,
    model::{Actor, Channel},
    store::{OldKeys, Rekeyed},
};

#[derive(Debug, Args)]
pub(super) struct Rekey {
    /// Forget the old keys in any case: also those of a key file that you named, and those of damaged values
    #[arg(long)]
    drop_old_keys: bool,
}

impl Rekey {
    /// Changes the key, or finishes an earlier run that was broken off.
    pub(super) async fn run(self, general: &General) -> Result<(), Exit> {
        let config = wiring::config(general, true)?;
        let _log = wiring::telemetry(general, Some(&config))?;
        // First without making one: there must be a store, and its key.
        wiring::open_to_read(&config).await.map_err(wiring::unopened)?.close().await;
        let store = wiring::open(&config).await?;
        let (file, own) = key_file(&config);
        let old = match (own, self.drop_old_keys) {
            (_, true) => OldKeys::DropAll,
            (true, false) => OldKeys::Drop,
            (false, false) => OldKeys::Keep,
        };
        let done = store.rekey(old, &at_the_terminal()).await;
        store.close().await;
        let again = "; what was done is kept and everything opens: run the same command again";
        tell(&done.map_err(|error| wiring::unopened(error).with(again))?, &file, old)
    }
}

fn tell(done: &Rekeyed, file: &Path, old: OldKeys) -> Result<(), Exit> {
    let file = file.display();
    if done.resumed {
        line("an earlier run was not finished; it is now, with the key that it made")?;
    }
    line(format!("the key {} seals now; {} values were sealed anew", done.key, done.values))?;
    if done.unopened > 0 {
        line(styled(
            WARN,
            format!("{} damaged values do not open and were left as they are", done.unopened),
        ))?;
    }
    match (done.dropped, old) {
        (true, _) => line(format!("the old keys are gone from {file}"))?,
        (false, OldKeys::Keep) => line(format!(
            "the old keys stay in {file}, which another store may use: rekey each, then run `zia-mcp store rekey \
             --drop-old-keys`"
        ))?,
        (false, _) => {
            return Err(Exit::unavailable(format!(
                "the old keys stay in {file} for the damaged values; `zia-mcp store rekey --drop-old-keys` drops them"
            )));
        }
    }
    if !done.log_cleared {
        let note = "another process was reading: store.db-wal may hold what the old key sealed until the last \
                    server on this store ends";
        line(styled(WARN, note))?;
    }
    line(styled(WARN, format!("back {file} up now: copies of it made before open this store no more")))
}

/// The key file, and whether it is the state directory's own.
fn key_file(config: &Config) -> (PathBuf, bool) {
    let own = config.state_dir.join("key");
    match &config.key_file {
        Some(named) if *named != own => (named.clone(), false),
        _ => (own, true),
    }
}

fn at_the_terminal() -> Actor {
    Actor::new("local", "zia-mcp store", Channel::Stdio)
}
