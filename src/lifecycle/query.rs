//! Reading back what this caller's operations did.

use std::time::Duration;

use super::{
    Lifecycle,
    begin::no_such_operation,
    failure::Failure,
    records::{CaptureShown, Records, no_such_capture},
    report::Report,
    status::{OperationLine, line},
};
use crate::{
    model::{Actor, OperationId, Scope},
    store::Which,
    zia::{ActivationStatus, Deadline},
};

/// How long the end of a session may take.
const SIGN_OUT: Duration = Duration::from_secs(3);

impl Lifecycle {
    /// The operation in the shape of the tool that began it, after at most 45 seconds.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown operation or one that this caller may not see, or what stopped it.
    pub async fn get_operation(&self, actor: &Actor, id: &str, wait: Duration) -> Result<Report, Failure> {
        let id: OperationId = id.parse().map_err(|()| no_such_operation())?;
        self.visible(actor, &id).await?;
        self.follow_to_the_end(&id, wait).await
    }

    /// The caller's newest operations, whatever their state.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn recent_operations(&self, actor: &Actor, limit: u32) -> Result<Vec<OperationLine>, Failure> {
        let all = self.store.operations(Some(self.tenant()), Which::Recent, limit).await?;
        let own = all.iter().filter(|o| o.actor.is(actor));
        Ok(own.map(|o| line(o, self.clock.now(), self.is_running(o))).collect())
    }

    /// A before-image that this caller's operation made, or any for who may read the audit trail.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown, purged, another caller's or another tenant's capture.
    pub async fn capture(&self, actor: &Actor, id: &str) -> Result<CaptureShown, Failure> {
        let records = Records::new(self.store.clone(), self.clock.clone());
        // Whose it is comes first: a stranger does not even learn that it was purged.
        let info = records.capture_info(id).await?;
        if info.tenant != self.tenant() {
            return Err(no_such_capture());
        }
        if !actor.rights.scopes.contains(Scope::AuditRead) {
            self.owned(actor, &info.operation).await.map_err(|_| no_such_capture())?;
        }
        records.capture(id).await
    }

    /// Ends the session with ZIA, unless that would publish changes that wait.
    pub async fn sign_out(&self) {
        let nothing_staged = self.possibly_staged().await.is_ok_and(|ours| ours.is_empty());
        if !nothing_staged || !self.zia.is_signed_in().await {
            return;
        }
        // Signing out publishes staged changes (zia-facts §4), so only an ACTIVE tenant is left so.
        let active = matches!(
            self.zia.status(Deadline::after(SIGN_OUT).finishing()).await,
            Ok(ActivationStatus::Active)
        );
        if active && let Err(error) = self.zia.sign_out().await {
            tracing::debug!(%error, "sign-out failed; the session ends by itself");
        }
    }
}
