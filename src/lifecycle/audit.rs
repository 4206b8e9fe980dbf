//! What goes on the record: events, ids, codes and digests, never personal data.

use serde_json::{Map, Value};

use super::{Lifecycle, failure::Failure};
use crate::{
    model::{Actor, OperationId},
    store::AuditEntry,
};

/// An entry with its fields.
pub(crate) fn entry<const N: usize>(event: &'static str, fields: [(&str, Value); N]) -> AuditEntry {
    AuditEntry { event, fields: fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>() }
}

impl Lifecycle {
    /// Records that a writing tool was refused.
    pub async fn record_refusal(&self, actor: &Actor, tool: &str, failure: &Failure) {
        let code = serde_json::to_value(failure.code).unwrap_or(Value::Null);
        let field = failure.field.clone().map_or(Value::Null, Value::from);
        let fields = [("tool", Value::from(tool)), ("code", code), ("field", field)];
        self.record(failure.operation_id.as_ref(), actor, entry("call.refused", fields)).await;
    }

    async fn record(&self, operation: Option<&OperationId>, actor: &Actor, entry: AuditEntry) {
        let event = entry.event;
        if let Err(error) = self.store.audit(self.tenant(), operation, Some(actor), entry).await {
            tracing::error!(event, %error, "an audit record could not be written");
        }
    }
}
