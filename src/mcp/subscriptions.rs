//! Telling clients that a resource changed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rmcp::{Peer, RoleServer, model::ResourceUpdatedNotificationParam, service::SubscriptionContext};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::resources::{CHANGES, STATUS, operation_uri};
use crate::{lifecycle::Lifecycle, model::OperationId};

/// The most resources that one session, or one listener, may follow.
pub(super) const MOST: usize = 64;

/// What one session of a client before 2026-07-28 follows; ends with the session.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Plain, since no await happens under it.
    followed: Mutex<HashMap<String, Follower>>,
}

/// A task that ends when it is dropped.
#[derive(Debug)]
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Subscriptions {
    pub(super) fn add(&self, uri: String, peer: Peer<RoleServer>, mut changes: Changes) {
        let followed = uri.clone();
        let task = tokio::spawn(async move {
            while let Some(changed) = changes.next().await {
                if concerns(&followed, &changed)
                    && peer
                        .notify_resource_updated(ResourceUpdatedNotificationParam::new(followed.as_str()))
                        .await
                        .is_err()
                {
                    return;
                }
            }
        });
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST || all.contains_key(&uri) {
            all.insert(uri, Follower(task));
        } else {
            task.abort();
        }
    }

    pub(super) fn remove(&self, uri: &str) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
    }
}

/// Follows resources for a 2026-07-28 client until it leaves or the server drains.
pub(super) async fn listen(
    context: SubscriptionContext,
    followed: &[String],
    mut changes: Changes,
    draining: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = context.cancelled() => return,
            () = draining.cancelled() => return,
            changed = changes.next() => {
                let Some(changed) = changed else { return };
                for uri in followed {
                    if concerns(uri, &changed) && context.sink().notify_resource_updated(uri.clone()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// What happens from now on.
#[derive(Debug)]
pub(super) struct Changes {
    operations: Receiver<OperationId>,
    users: watch::Receiver<i64>,
}

/// The next change: an operation, users, or that some were missed.
enum Changed {
    One(OperationId),
    Users,
    Missed,
}

impl Changes {
    pub(super) fn of(lifecycle: &Lifecycle) -> Self {
        Self { operations: lifecycle.changes(), users: lifecycle.user_changes() }
    }

    async fn next(&mut self) -> Option<Changed> {
        tokio::select! {
            operation = self.operations.recv() => match operation {
                Ok(id) => Some(Changed::One(id)),
                Err(RecvError::Lagged(_)) => Some(Changed::Missed),
                Err(RecvError::Closed) => None,
            },
            users = self.users.changed() => users.ok().map(|()| Changed::Users),
        }
    }
}

fn concerns(uri: &str, changed: &Changed) -> bool {
    match changed {
        Changed::One(id) => uri == STATUS || uri == operation_uri(id),
        Changed::Users => uri == CHANGES,
        Changed::Missed => uri != CHANGES,
    }
}
