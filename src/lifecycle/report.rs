//! What the writing tools answer.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Failure;
use crate::model::{CaptureId, Named, OperationId, User, UserId};

/// How an operation ended, or where it stands (contract §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the contract's
pub enum Outcome {
    Done,
    AppliedNotActive,
    AlreadyDone,
    Planned,
    AwaitingApproval,
    InProgress,
    Declined,
    Expired,
    Changed,
    Unknown,
    Failed,
    Partial,
}

/// Whether a write is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the contract's
pub enum ActivationState {
    Active,
    Pending,
    Queued,
    Failed,
    NotNeeded,
}

/// What became of the activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    /// Whether the write is live.
    pub state: ActivationState,
    /// Why not, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub detail: Option<String>,
}

impl Activation {
    /// An activation in a state, without detail.
    pub fn plain(state: ActivationState) -> Self {
        Self { state, detail: None }
    }

    /// An activation in a state, and why.
    pub fn with(state: ActivationState, detail: impl Into<String>) -> Self {
        Self { state, detail: Some(detail.into()) }
    }
}

/// The before-image of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// Its id.
    #[schemars(with = "String")]
    pub id: CaptureId,
    /// When it was read from ZIA.
    #[schemars(with = "String")]
    pub taken_at: Timestamp,
    /// The resource that holds it.
    pub uri: String,
}

/// One field that a write sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Field name.
    pub field: String,
    /// Before.
    pub from: Value,
    /// After.
    pub to: Value,
}

/// Who approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The person, as far as known.
    pub by: String,
    /// Where they decided.
    pub channel: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// Where a person can decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HowToApprove {
    /// The approval page, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub page: Option<String>,
    /// The command a person can use.
    pub cli: String,
    /// When the operation lapses.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// What became of the first password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InitialPassword {
    /// `discarded` or `handoff`.
    pub delivery: String,
    /// What the user does to get in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub how: Option<String>,
}

/// A user that ZIA knows, or one that is still to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Subject {
    /// In ZIA.
    User(User),
    /// Not created yet: no id.
    Draft(Draft),
}

impl JsonSchema for Subject {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Subject".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = User::json_schema(generator);
        schema.insert("required".into(), serde_json::json!(["name", "email"]));
        schema
    }
}

/// A user to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Display name.
    pub name: String,
    /// Login address.
    pub email: String,
    /// Department, if any.
    pub department: Option<Named>,
    /// Groups.
    pub groups: Vec<Named>,
    /// Comments, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comments: Option<String>,
    /// Temporary authentication address, if a capture holds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_auth_email: Option<String>,
}

/// One user of an operation on several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// As the caller named them.
    pub user: String,
    /// The ZIA id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub id: Option<UserId>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub email: Option<String>,
    /// How it ended for this user, or where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Outcome")]
    pub outcome: Option<Outcome>,
    /// The before-image's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub capture: Option<CaptureId>,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Map<String, Value>")]
    pub error: Option<Failure>,
}

/// What a writing tool answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// How it ended, or where it stands.
    pub outcome: Outcome,
    /// The operation.
    #[schemars(with = "String")]
    pub operation_id: OperationId,
    /// The user it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Subject")]
    pub user: Option<Subject>,
    /// Each user, of an operation on several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Item>")]
    pub items: Option<Vec<Item>>,
    /// How many users ended how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, u64>")]
    pub counts: Option<BTreeMap<String, u64>>,
    /// Whether it is live.
    pub activation: Activation,
    /// The before-image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Capture")]
    pub capture: Option<Capture>,
    /// Field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Change>")]
    pub changes: Option<Vec<Change>>,
    /// Who approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Approval")]
    pub approval: Option<Approval>,
    /// Where a person can decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HowToApprove")]
    pub how_to_approve: Option<HowToApprove>,
    /// The first password's fate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "InitialPassword")]
    pub initial_password: Option<InitialPassword>,
    /// What else to know.
    pub notes: Vec<String>,
}
