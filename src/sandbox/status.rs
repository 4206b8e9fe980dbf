//! Activation, its status, and the end user agreement.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Endpoint;
use super::call::Call;
use super::faults::Fault;
use super::replies::{Answer, Refusal, Reply, unexpected_error};
use super::tenant::Tenant;

/// Whether an activation is still under way.
#[derive(Default)]
pub(super) enum Activation {
    #[default]
    Idle,
    /// Answered, but not through.
    Waiting {
        /// What the status says meanwhile.
        word: &'static str,
        /// It is through at this many reads of the status; until someone activates when `None`.
        reads: Option<u32>,
    },
}

impl Tenant {
    /// `ACTIVE`, `PENDING` or `INPROGRESS` (zia-facts §3.5).
    pub(super) fn status_word(&self) -> &'static str {
        match self.activation {
            Activation::Waiting { word, .. } => word,
            Activation::Idle if self.staging.is_empty() => "ACTIVE",
            Activation::Idle => "PENDING",
        }
    }

    pub(super) fn status(&mut self) -> Reply {
        if let Activation::Waiting { reads: Some(reads), .. } = &mut self.activation {
            *reads = reads.saturating_sub(1);
            if *reads == 0 {
                self.publish_all();
            }
        }
        Reply::json(json!({"status": self.status_word()}))
    }

    /// Publishes every administrator's changes, unless a fault or the agreement is in the way.
    pub(super) fn activate(&mut self, call: &Call) -> Answer {
        if !call.body.is_empty() {
            let body: Option<Value> = serde_json::from_slice(&call.body).ok();
            let fields = body.as_ref().and_then(Value::as_object).ok_or_else(Refusal::invalid_body)?;
            fields.keys().all(|key| key == "status").then_some(()).ok_or_else(Refusal::invalid_body)?;
        }
        match self.activation_fault() {
            Some(Fault::ActivationFails { status }) => {
                return Ok(Reply { status, ..Reply::json(unexpected_error()) });
            }
            Some(Fault::ActivationLies) => return Ok(Reply::json(json!({"status": "ACTIVE"}))),
            Some(Fault::ActivationSticks { reads }) => {
                self.activation = Activation::Waiting { word: "INPROGRESS", reads };
            }
            Some(Fault::ActivationQueues { reads }) => {
                self.activation = Activation::Waiting { word: "PENDING", reads };
            }
            _ => {
                let applied = self.publish_all();
                return Ok(Reply { applied, ..Reply::json(json!({"status": self.status_word()})) });
            }
        }
        Ok(Reply::json(json!({"status": self.status_word()})))
    }

    fn activation_fault(&mut self) -> Option<Fault> {
        self.faults.strike(Endpoint::Activate, |fault| {
            matches!(
                fault,
                Fault::ActivationFails { .. }
                    | Fault::ActivationLies
                    | Fault::ActivationSticks { .. }
                    | Fault::ActivationQueues { .. }
            )
        })
    }

    /// Makes everything live; without an accepted agreement nothing happens (zia-facts §3.5).
    pub(super) fn publish_all(&mut self) -> bool {
        if self.eusa_is_unaccepted() {
            return false;
        }
        self.activation = Activation::Idle;
        self.staging.publish_all()
    }

    /// Makes live what these administrators staged, as logout and idleness do (zia-facts §4).
    pub(super) fn publish_for(&mut self, admins: &[Arc<str>]) -> bool {
        if self.eusa_is_unaccepted() {
            return false;
        }
        let published = admins.iter().filter(|admin| self.staging.publish_of(admin)).count();
        published > 0
    }

    fn eusa_is_unaccepted(&self) -> bool {
        self.faults.peek(|fault| (*fault == Fault::EusaUnaccepted).then_some(())).is_some()
    }

    /// Whether the tenant is in maintenance.
    pub(super) fn is_read_only(&self) -> bool {
        self.faults.peek(|fault| (*fault == Fault::ReadOnly).then_some(())).is_some()
    }

    pub(super) fn latest_eusa(&self) -> Reply {
        let accepted = !self.eusa_is_unaccepted();
        Reply::json(
            json!({"id": 3183, "version": {"id": 7, "name": "'SLA-11-01-16'"}, "acceptedStatus": accepted}),
        )
    }

    pub(super) fn accept_eusa(&mut self) -> Reply {
        self.faults.switch_off("eusa_unaccepted");
        self.latest_eusa()
    }
}
