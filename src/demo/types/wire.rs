//! Missions, iterations and proposals as devices write them. The service reads them with more mercy and writes less of
//! them, so its own types do not tell a device what may be there. `demo::types` checks that what the service writes has
//! these shapes.
#![expect(missing_docs, reason = "the wire's own names, see the design of the record")]

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use ts_rs::TS;

use crate::domain::cadence::CadenceFromLog;
use crate::domain::mission::Input;

/// A standing order in its user's words. Other writers add fields that are not named here.
#[derive(Debug, TS)]
#[ts(rename_all = "camelCase", optional_fields)]
pub struct Mission {
    pub id: String,
    pub created_at: String,
    pub updated_at: String,
    pub title: String,
    pub concept_markdown: String,
    pub objective: String,
    pub inputs: Vec<Input>,
    pub cadence: CadenceFromLog,
    pub state: MissionState,
    #[ts(optional = nullable)]
    pub next_run_at: Option<String>,
    pub iterations: Vec<MissionIteration>,
    #[ts(optional = nullable)]
    pub deleted_at: Option<String>,
}

/// Whether a mission runs.
#[derive(Debug, TS)]
#[ts(rename_all = "kebab-case")]
pub enum MissionState {
    Active,
    Paused,
    Done,
    Archived,
}

/// One run of a mission. Times are ISO 8601 with milliseconds and `Z`.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields)]
pub struct MissionIteration {
    pub id: String,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    pub plan: Vec<PlanStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_feedback: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IterationSource>,
    pub overall_status: IterationStatus,
}

/// Which runner made an iteration.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum IterationSource {
    Browser,
    Server,
}

/// Where an iteration stands as a whole.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum IterationStatus {
    Running,
    AwaitingReview,
    Approved,
    Rejected,
    Failed,
}

/// One step of a plan. `proposalId` is the durable marker that a device has staged it.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields)]
pub struct PlanStep {
    pub id: String,
    pub summary: String,
    pub status: StepStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    pub intent: Intent,
}

/// Where a step stands.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    Planned,
    Staged,
    Approved,
    Rejected,
    Skipped,
    Failed,
}

/// What a step would do.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum Intent {
    ToolCall(ToolCall),
    Note(Note),
}

/// A step that runs a tool. `params` may be missing or null where another writer left it out.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    #[ts(inline)]
    pub kind: ToolCallKind,
    pub tool_name: String,
    #[ts(optional, type = "Record<string, unknown> | null")]
    pub params: Option<Map<String, Value>>,
}

/// A step that only says something.
#[derive(Debug, Serialize, Deserialize, TS)]
pub struct Note {
    #[ts(inline)]
    pub kind: NoteKind,
    pub body: String,
}

/// Who a row is attributed to. Today's suite adds `principalId` and `displayName`; old rows have neither.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(untagged)]
pub enum Actor {
    User(UserActor),
    Ai(AiActor),
    System(SystemActor),
}

/// The user at one of their devices.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields)]
pub struct UserActor {
    #[ts(inline)]
    pub kind: UserKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// The AI, with its user's consent to one step of a plan.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields)]
pub struct AiActor {
    #[ts(inline)]
    pub kind: AiKind,
    pub mission_id: String,
    pub iteration_id: String,
    pub rationale: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// A part of the suite, without its user.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
#[ts(optional_fields)]
pub struct SystemActor {
    #[ts(inline)]
    pub kind: SystemKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SystemSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
}

/// Which part of the suite.
#[derive(Debug, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
pub enum SystemSource {
    Projection,
    Rule,
    Migration,
    MissionRunner,
}

/// What a user is asked to approve: one step of a plan that calls a tool. It stays on its device.
#[derive(Debug, TS)]
#[ts(rename_all = "camelCase", optional_fields)]
pub struct Proposal {
    pub id: String,
    pub created_at: String,
    pub status: ProposalStatus,
    pub actor: AiActor,
    pub mission_id: String,
    pub iteration_id: String,
    pub rationale: String,
    pub intent: ToolCall,
    pub decided_at: Option<String>,
    pub user_feedback: Option<String>,
}

/// Where a proposal stands.
#[derive(Debug, TS)]
#[ts(rename_all = "kebab-case")]
pub enum ProposalStatus {
    Pending,
    Approved,
    Rejected,
}

/// Names of one value, each of which tells a shape from the others of its union.
macro_rules! kinds {
    ($($name:ident = $variant:ident $text:literal),*) => {$(
        #[derive(Debug, Serialize, Deserialize, TS)]
        pub enum $name {
            #[serde(rename = $text)]
            $variant,
        }
    )*};
}
kinds!(ToolCallKind = ToolCall "toolCall", NoteKind = Note "note", UserKind = User "user", AiKind = Ai "ai",
    SystemKind = System "system");
