//! What the operator reads at the terminal, without a tenant at hand.

use serde_json::{Value, json};

use super::{
    before_image::BeforeImage,
    begin::no_such_operation,
    details::Details,
    failure::{Code, Failure},
    handoff, operation,
    status::{OperationLine, line},
};
use crate::{
    model::{CaptureId, Clock, Operation, OperationId, State},
    store::{CaptureInfo, Store, StoreError, Which},
};

/// The records of every tenant in a store.
#[derive(Clone, Debug)]
pub struct Records {
    pub(super) store: Store,
    pub(super) clock: Clock,
}

/// A before-image, opened.
#[derive(Clone, Debug)]
pub struct CaptureShown {
    /// Its record.
    pub info: CaptureInfo,
    /// The user as ZIA showed it in its list.
    pub row: Value,
    /// The user as ZIA showed it by id.
    pub by_id: Value,
}

impl Records {
    /// The records of a store.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// The newest operations, whatever their state.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn operations(&self, limit: u32) -> Result<Vec<OperationLine>, Failure> {
        let all = self.store.operations(None, Which::Recent, limit).await?;
        Ok(all.iter().map(|o| line(o, self.clock.now(), has_living_owner(&self.store, o))).collect())
    }

    /// One operation whole.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `STORE_UNAVAILABLE`.
    pub async fn operation(&self, id: &str) -> Result<Value, Failure> {
        let id: OperationId = id.parse().map_err(|()| no_such_operation())?;
        let operation = self.store.operation(&id).await?.ok_or_else(no_such_operation)?;
        let details = Details::of(&operation);
        let running = has_living_owner(&self.store, &operation);
        let mut answer = operation::report(&operation, self.clock.now(), running);
        if let Ok(report) = &mut answer {
            handoff::tell(report, &operation, &self.store, || None).await?;
        }
        Ok(json!({
            "operation_id": operation.id, "tool": operation.action, "tenant": operation.tenant, "state": operation.state,
            "requested_by": operation.actor, "reason": details.reason, "created_at": operation.created_at,
            "updated_at": operation.updated_at,
            "expires_at": (operation.state == State::Awaiting).then_some(operation.expires_at),
            "answer": answer.map_or_else(|f| json!({ "error": f }), |r| json!(r)),
        }))
    }

    /// A before-image's record; a purged one's, too.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `STORE_UNAVAILABLE`.
    pub async fn capture_info(&self, id: &str) -> Result<CaptureInfo, Failure> {
        let id: CaptureId = id.parse().map_err(|()| no_such_capture())?;
        self.store.capture_info(&id).await?.ok_or_else(no_such_capture)
    }

    /// A before-image, opened.
    ///
    /// # Errors
    /// `NOT_FOUND`, which tells of a purge, or `STORE_UNAVAILABLE`.
    pub async fn capture(&self, id: &str) -> Result<CaptureShown, Failure> {
        let id: CaptureId = id.parse().map_err(|()| no_such_capture())?;
        let (info, raw) = self.store.open_capture(&id).await?.ok_or_else(no_such_capture)?;
        let read = BeforeImage::read(&raw).and_then(BeforeImage::values);
        let (row, by_id) = read.ok_or(StoreError::Corrupt)?;
        Ok(CaptureShown { info, row, by_id })
    }

    /// The newest before-images.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn captures(&self, limit: u32) -> Result<Vec<CaptureInfo>, Failure> {
        Ok(self.store.captures(None, limit).await?)
    }
}

/// Whether the process that took an operation on still runs.
pub(crate) fn has_living_owner(store: &Store, operation: &Operation) -> bool {
    is_under_way(operation.state) && operation.owner.as_ref().is_some_and(|owner| store.is_present(owner))
}

/// Whether somebody has to carry an operation on.
pub(crate) fn is_under_way(state: State) -> bool {
    operation::is_moving(state) || state == State::Unknown
}

pub(crate) fn no_such_capture() -> Failure {
    Failure::new(Code::NotFound, "there is no such capture", "see the capture's id in the operation's result")
}
