//! Keeps the audit trail signed while the process runs, and at its end.

use std::{path::PathBuf, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::{Checkpoint, Store, append_checkpoints};

/// The longest time for which records stay unsigned (T25).
const EVERY: Duration = Duration::from_secs(60);

/// How long the operator's file may take; it may be on another machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// Checkpoints that wait for the operator's file at most; the newest are worth the most.
const WAITING: usize = 1_000;

/// Signs what was recorded: at the start, every minute, every 1,000 records, and at the end.
pub(super) struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Signing {
    store: Store,
    file: Option<PathBuf>,
    /// What the operator's file does not hold yet.
    waiting: Vec<Checkpoint>,
    /// Told already, so that a failure is told once.
    unsigned: bool,
    unwritten: bool,
}

impl Keeper {
    pub(super) fn start(store: Store, file: Option<PathBuf>) -> Self {
        let stop = CancellationToken::new();
        let mut signing = Signing { store, file, waiting: Vec::new(), unsigned: false, unwritten: false };
        let task = tokio::spawn({
            let stop = stop.clone();
            async move {
                while !stop.is_cancelled() {
                    signing.sign().await;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = signing.store.grown() => {}
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
                signing.sign().await;
            }
        });
        Self { stop, task }
    }

    /// Signs a last time.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A round under way ends first: one that is broken off could not tell what it signed.
        let _ = self.task.await;
    }
}

impl Signing {
    async fn sign(&mut self) {
        match self.store.checkpoint().await {
            Ok(new) => {
                self.unsigned = false;
                if self.file.is_some() {
                    self.waiting.extend(new);
                }
            }
            Err(error) if !self.unsigned => {
                self.unsigned = true;
                tracing::warn!(%error, "the audit trail could not be signed; the server goes on");
            }
            Err(_) => {}
        }
        self.write().await;
    }

    async fn write(&mut self) {
        let (Some(file), false) = (&self.file, self.waiting.is_empty()) else { return };
        let excess = self.waiting.len().saturating_sub(WAITING);
        self.waiting.drain(..excess);
        let (path, lines) = (file.clone(), self.waiting.clone());
        let writing = tokio::task::spawn_blocking(move || append_checkpoints(&path, &lines));
        let why = match tokio::time::timeout(PATIENCE, writing).await {
            Ok(Ok(Ok(()))) => {
                self.waiting.clear();
                self.unwritten = false;
                return;
            }
            Ok(Ok(Err(error))) => error.kind().to_string(),
            Ok(Err(_)) | Err(_) => "no answer within two seconds".into(),
        };
        if !self.unwritten {
            tracing::warn!(file = %file.display(), why, "checkpoints cannot be written there; the server goes on");
        }
        self.unwritten = true;
    }
}
