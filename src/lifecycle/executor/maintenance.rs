//! Waiting for the end of a maintenance (guardrails F49).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::turn::latest;
use crate::{
    lifecycle::{
        Lifecycle,
        details::Details,
        failure::{Code, Failure},
    },
    model::{Operation, OperationId},
};

/// Operations that wait for the tenant, and what their callers are told meanwhile.
///
/// Plain, since no await happens under it.
#[derive(Debug, Default)]
pub(crate) struct Paused(Mutex<HashMap<OperationId, Failure>>);

impl Paused {
    /// What a caller is told of an operation that waits.
    pub(crate) fn of(&self, id: &OperationId) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn set(&self, id: &OperationId, failure: Failure) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), failure);
    }

    /// The operation goes on.
    pub(crate) fn end(&self, id: &OperationId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Lifecycle {
    /// Waits until the tenant is looked at again, at the latest when the operation's time is over.
    pub(super) async fn sit_out_maintenance(&self, operation: &Operation, details: &Details) {
        let until = latest(operation, details);
        let failure = Failure::new(
            Code::TenantReadOnly,
            "ZIA is in read-only maintenance; nothing was applied",
            format!(
                "the approved operation goes on by itself if that ends before {until:.0}; follow it with get_operation"
            ),
        );
        self.shared.paused.set(&operation.id, failure.of(&operation.id));
        self.changed(&operation.id);
        let left = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default();
        tokio::time::sleep(self.settings.pace.probe.min(left)).await;
    }
}
