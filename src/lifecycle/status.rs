//! What a caller can know of the tenant and of their own operations.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Lifecycle, bulk,
    details::Details,
    failure::Failure,
    operation,
    report::{Outcome, Subject},
};
use crate::{
    model::{Actor, Operation, OperationId, State},
    store::{IndexState, Which},
    zia::{ActivationStatus, BudgetLine},
};

/// Seconds of difference that make a clock worth a word (guardrails F34).
const SKEW: u64 = 30;

/// The most operations listed.
const LISTED: u32 = 100;

/// An operation in one line.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OperationLine {
    /// Its id.
    #[schemars(with = "String")]
    pub operation_id: OperationId,
    /// The tool that began it.
    pub tool: String,
    /// Where it stands.
    pub outcome: Outcome,
    /// The user's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub user: Option<String>,
    /// How many users, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub count: Option<u64>,
    /// Who asked.
    pub requested_by: String,
    /// When it lapses, if it waits for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub expires_at: Option<Timestamp>,
}

/// How complete the index of users is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IndexStatus {
    /// Users in it.
    pub users: u64,
    /// When the last list that was read to its end was begun.
    #[schemars(with = "Option<String>")]
    pub as_of: Option<Timestamp>,
    /// Whether it holds every user of that time.
    pub complete: bool,
}

/// The tenant, as `tenant_status` tells it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TenantStatus {
    /// The cloud, or the host that the operator named.
    pub cloud: String,
    /// `api_key` or `oneapi`.
    pub auth: String,
    /// `ACTIVE`, `PENDING` or `INPROGRESS`.
    pub activation: String,
    /// Yours that are not ended.
    pub open_operations: Vec<OperationLine>,
    /// Yours that are applied and not active.
    pub unactivated_operations: Vec<OperationLine>,
    /// Calls left.
    pub budget: Vec<Budget>,
    /// The index of users.
    pub index: IndexStatus,
    /// `read_write`; `read_only` also while the store cannot be used.
    pub mode: String,
    /// What an administrator should look at.
    pub warnings: Vec<String>,
}

/// The calls left of one endpoint in one window.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Method and path.
    pub endpoint: String,
    /// `second`, `minute` or `hour`.
    pub per: String,
    /// Calls in a window.
    pub limit: u32,
    /// Calls left in this one.
    pub remaining: u32,
    /// When all of them are there again.
    #[schemars(with = "String")]
    pub resets_at: Timestamp,
}

impl From<BudgetLine> for Budget {
    fn from(line: BudgetLine) -> Self {
        let BudgetLine { endpoint, per, limit, remaining, resets_at } = line;
        Self { endpoint: endpoint.to_owned(), per: per.to_owned(), limit, remaining, resets_at }
    }
}

impl Lifecycle {
    /// The state of the tenant, the caller's operations and the budget.
    ///
    /// Without a usable store no operations are listed, and a warning says why.
    ///
    /// # Errors
    /// What ZIA answered.
    pub async fn tenant_status(&self, actor: &Actor) -> Result<TenantStatus, Failure> {
        let status = self.zia.status(self.interactive()).await?;
        let own = self.own_operations(actor).await;
        let fault = self.ready().await.err();
        let mut warnings = self.warnings(status).await;
        warnings
            .extend(fault.as_ref().map(|f| format!("nothing is written to ZIA: {}; {}", f.message, f.next)));
        let (open, unactivated) = own.unwrap_or_else(|f| {
            warnings.push(format!("operations cannot be listed: {}", f.message));
            (Vec::new(), Vec::new())
        });
        let index = self.directory.index_state().await;
        warnings.extend(index_warning(&index));
        let read_only = self.settings.read_only || fault.is_some();
        Ok(TenantStatus {
            cloud: self.zia.cloud().to_owned(),
            auth: self.zia.auth().to_owned(),
            activation: status_name(status).to_owned(),
            warnings,
            open_operations: open,
            unactivated_operations: unactivated,
            budget: self.budget(),
            index: self.index_status(&index).await,
            mode: if read_only { "read_only" } else { "read_write" }.to_owned(),
        })
    }

    /// The calls left of every documented limit, as this process counts them; ZIA is not asked.
    pub fn budget(&self) -> Vec<Budget> {
        self.zia.budget().into_iter().map(Budget::from).collect()
    }

    /// The caller's open and unactivated operations.
    async fn own_operations(
        &self,
        actor: &Actor,
    ) -> Result<(Vec<OperationLine>, Vec<OperationLine>), Failure> {
        let lines = |ops: Vec<Operation>| -> Vec<OperationLine> {
            let own = ops.iter().filter(|o| o.actor.is(actor));
            own.map(|o| line(o, self.clock.now(), self.is_running(o))).collect()
        };
        let open = self.store.operations(Some(self.tenant()), Which::Open, LISTED).await?;
        let open = open.into_iter().filter(|o| !operation::has_lapsed(o, self.clock.now())).collect();
        let unactivated = self.store.operations(Some(self.tenant()), Which::Unactivated, LISTED).await?;
        Ok((lines(open), lines(unactivated)))
    }

    async fn index_status(&self, index: &IndexState) -> IndexStatus {
        let complete = self.directory.complete_since().await.is_some();
        IndexStatus { users: index.users, as_of: index.swept_at, complete }
    }

    async fn warnings(&self, status: ActivationStatus) -> Vec<String> {
        let mut warnings = Vec::new();
        match self.others_wait(status).await {
            Ok(false) => {}
            Ok(true) => warnings.push(
                "staged changes of other administrators wait; they go live with the next activation".into(),
            ),
            Err(_) => {
                warnings.push("staged changes wait in the tenant; whose they are cannot be told".into())
            }
        }
        if self.zia.is_read_only() {
            warnings.push(
                "ZIA is in read-only maintenance: reading works, writes are refused until it ends".into(),
            );
        }
        if let Some(ahead) = self.zia.clock_ahead_seconds().filter(|s| s.unsigned_abs() > SKEW) {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            warnings.push(format!(
                "this machine's clock is {} s {side} ZIA's; sign-in fails from two hours of difference on",
                ahead.unsigned_abs()
            ));
        }
        warnings
    }
}

/// An operation in one line; `running` says that this process carries it out.
pub(crate) fn line(operation: &Operation, now: Timestamp, running: bool) -> OperationLine {
    let waits = operation.state == State::Awaiting;
    let details = Details::of(operation);
    let whole = operation::outcome(operation, now, running);
    let count = (!details.asked.is_empty()).then_some(details.asked.len() as u64);
    OperationLine {
        count,
        operation_id: operation.id.clone(),
        tool: operation.action.as_str().to_owned(),
        outcome: if count.is_some() { bulk::outcome(&details, whole) } else { whole },
        user: details.user.map(|u| match u {
            Subject::User(user) => user.email,
            Subject::Draft(draft) => draft.email,
        }),
        requested_by: operation.actor.caller.clone(),
        expires_at: waits.then_some(operation.expires_at),
    }
}

/// What is worth a word about the index.
fn index_warning(index: &IndexState) -> Option<String> {
    match (&index.filling, index.swept_at) {
        (Some(filling), None) if filling.page > 1 => Some(format!(
            "the index of users is being filled: {} users of {} pages so far",
            filling.rows,
            filling.page - 1
        )),
        (_, Some(_)) if index.uneven => Some(
            "users came or went while the whole list was read: some may be missing from the index until the next time"
                .into(),
        ),
        _ => None,
    }
}

fn status_name(status: ActivationStatus) -> &'static str {
    match status {
        ActivationStatus::Active => "ACTIVE",
        ActivationStatus::Pending => "PENDING",
        ActivationStatus::InProgress => "INPROGRESS",
    }
}
