//! Before-images on their way out of the store.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    Records, before_image::BeforeImage, failure::Failure, records::no_such_capture,
    retention::at_the_terminal,
};
use crate::{
    model::{CaptureId, Digest, OperationId, UserId},
    store::{AuditEntry, StoreError},
};

/// A line of an export.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a CaptureId,
    tenant: &'a str,
    operation_id: &'a OperationId,
    user_id: UserId,
    taken_at: Timestamp,
    #[serde(flatten)]
    image: Parts<'a>,
}

#[derive(Serialize)]
struct Parts<'a> {
    row: &'a RawValue,
    by_id: &'a RawValue,
}

/// Before-images to export: each one's id and tenant.
pub type Exportable = Vec<(CaptureId, String)>;

impl Records {
    /// Those of these ids, or all that were not purged, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND` for an id that is unknown, purged or of another tenant; `STORE_UNAVAILABLE`.
    pub async fn exportable(&self, tenant: Option<&str>, ids: &[String]) -> Result<Exportable, Failure> {
        if ids.is_empty() {
            return Ok(self.store.kept_captures(tenant).await?);
        }
        let mut found = Vec::new();
        for id in ids {
            let info = self.capture_info(id).await?;
            if let Some(at) = info.purged_at {
                return Err(StoreError::Purged { at }.into());
            }
            if tenant.is_some_and(|t| t != info.tenant) {
                return Err(no_such_capture());
            }
            found.push((info.id, info.tenant));
        }
        Ok(found)
    }

    /// Puts on record, in each tenant's trail, that before-images leave; call it before they do.
    ///
    /// # Errors
    /// `AUDIT_UNAVAILABLE`; nothing may leave then.
    pub async fn export_begins(&self, captures: &Exportable, recipients: &Digest) -> Result<(), Failure> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, tenant) in captures {
            *counts.entry(tenant).or_default() += 1;
        }
        for (tenant, count) in counts {
            let entry = AuditEntry::new("captures.exported")
                .with("count", count)
                .with("recipients", recipients.to_string());
            self.store.audit(tenant, None, Some(&at_the_terminal()), entry).await?;
        }
        Ok(())
    }

    /// A before-image as one line of JSON, both readings as ZIA sent them; `None` once purged.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn export_line(&self, id: &CaptureId) -> Result<Option<Zeroizing<String>>, Failure> {
        let (info, raw) = match self.store.open_capture(id).await {
            Err(StoreError::Purged { .. }) | Ok(None) => return Ok(None),
            opened => opened?.ok_or_else(no_such_capture)?,
        };
        let image = BeforeImage::read(&raw).ok_or(StoreError::Corrupt)?;
        let line = Line {
            id: &info.id,
            tenant: &info.tenant,
            operation_id: &info.operation,
            user_id: info.user_id,
            taken_at: info.taken_at,
            image: Parts { row: image.row, by_id: image.by_id },
        };
        let text = Zeroizing::new(serde_json::to_string(&line).map_err(|_| StoreError::Corrupt)?);
        // ZIA may send lines; between the tokens of JSON a blank says the same.
        Ok(Some(Zeroizing::new(text.replace(['\n', '\r'], " "))))
    }
}
