//! Telling clients that a resource changed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rmcp::{Peer, RoleServer, model::ResourceUpdatedNotificationParam, service::SubscriptionContext};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::resources::{STATUS, operation_uri};
use crate::model::OperationId;

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
    pub(super) fn add(&self, uri: String, peer: Peer<RoleServer>, mut changes: Receiver<OperationId>) {
        let followed = uri.clone();
        let task = tokio::spawn(async move {
            while let Some(ids) = next(&mut changes).await {
                if concerns(&followed, &ids)
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
    mut changes: Receiver<OperationId>,
    draining: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = context.cancelled() => return,
            () = draining.cancelled() => return,
            ids = next(&mut changes) => {
                let Some(ids) = ids else { return };
                for uri in followed {
                    if concerns(uri, &ids) && context.sink().notify_resource_updated(uri.clone()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The next change: an operation, or that some were missed.
enum Changed {
    One(OperationId),
    Missed,
}

async fn next(changes: &mut Receiver<OperationId>) -> Option<Changed> {
    match changes.recv().await {
        Ok(id) => Some(Changed::One(id)),
        Err(RecvError::Lagged(_)) => Some(Changed::Missed),
        Err(RecvError::Closed) => None,
    }
}

fn concerns(uri: &str, changed: &Changed) -> bool {
    match changed {
        Changed::One(id) => uri == STATUS || uri == operation_uri(id),
        Changed::Missed => true,
    }
}
