//! A mission's iterations: those that are there, and the one that we add; and who wrote what.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::time;

/// An iteration that a foreground runner marked `running` is left alone for this long.
const FOREGROUND_GRACE: SignedDuration = SignedDuration::from_mins(10);

/// An iteration that somebody wrote, read leniently: a field of another type counts as absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub struct PastIteration {
    #[serde(deserialize_with = "lenient")]
    pub id: String,
    #[serde(deserialize_with = "lenient")]
    pub started_at: String,
    #[serde(deserialize_with = "lenient")]
    pub overall_status: String,
    #[serde(deserialize_with = "lenient")]
    pub source: String,
    #[serde(deserialize_with = "lenient")]
    pub summary: String,
    #[serde(deserialize_with = "lenient")]
    pub user_feedback: String,
    #[serde(deserialize_with = "lenient")]
    pub plan: Vec<PastStep>,
}

/// See [`PastIteration`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub struct PastStep {
    #[serde(deserialize_with = "lenient")]
    pub id: String,
    #[serde(deserialize_with = "lenient")]
    pub summary: String,
    #[serde(deserialize_with = "lenient")]
    pub status: String,
    pub proposal_id: serde_json::Value,
    #[serde(deserialize_with = "lenient")]
    pub rationale: String,
    pub intent: serde_json::Value,
}

impl PastIteration {
    /// Until when it belongs to a foreground runner, if one is at it. A start in the future is a clock
    /// that is wrong, and a tab that crashed under it would block the mission for years.
    pub fn running_until(&self, now: Timestamp) -> Option<Timestamp> {
        let started: Timestamp = self.started_at.parse().ok()?;
        let until = started.checked_add(FOREGROUND_GRACE).ok()?;
        let running = self.overall_status == "running" && started <= now + FOREGROUND_GRACE;
        (running && until > now).then_some(until)
    }
}

impl PastIteration {
    /// Is this a plan of the server that nobody has read? April's devices mark a plan that they read by a `proposalId` in
    /// its steps, today's by the steps' statuses, and both pass on what its user says of it (`userFeedback`,
    /// `overallStatus`). One sign is enough. A plan that calls no tool leaves nothing to be read.
    pub fn is_unread(&self) -> bool {
        let mut tool_calls = self.plan.iter().filter(|step| step.tool_name().is_some()).peekable();
        self.source == "server"
            && matches!(&*self.overall_status, "" | "awaiting-review")
            && self.user_feedback.is_empty()
            && tool_calls.peek().is_some()
            && tool_calls.all(|step| matches!(&*step.status, "" | "planned") && !step.has_proposal())
    }
}

impl PastStep {
    /// Has a device made a proposal of it? Any value counts that JavaScript takes for true.
    pub fn has_proposal(&self) -> bool {
        match &self.proposal_id {
            serde_json::Value::Null => false,
            serde_json::Value::Bool(is_set) => *is_set,
            serde_json::Value::String(id) => !id.is_empty(),
            serde_json::Value::Number(id) => id.as_f64() != Some(0.0),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => true,
        }
    }

    /// The tool that it calls, unless it is a note or of a kind that came later than this service.
    pub fn tool_name(&self) -> Option<&str> {
        let is_tool_call = self.intent.get("kind")? == "toolCall";
        self.intent.get("toolName")?.as_str().filter(|_| is_tool_call)
    }
}

/// The iteration that we add: `source: server`, complete from the start.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub struct Iteration {
    pub id: String,
    pub started_at: String,
    pub finished_at: String,
    pub source: &'static str,
    pub overall_status: &'static str,
    pub summary: String,
    pub plan: Vec<PlanStep>,
}

impl Iteration {
    /// The visible end of a slot that has no plan: `summary` tells its user what happened.
    pub fn failed(id: String, started: Timestamp, finished: Timestamp, summary: String) -> Self {
        Self {
            started_at: time::iso(started),
            finished_at: time::iso(finished),
            source: "server",
            overall_status: "failed",
            summary,
            plan: Vec::new(),
            id,
        }
    }
}

/// One step of it, status `planned`.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub struct PlanStep {
    pub id: String,
    pub summary: String,
    pub status: &'static str,
    pub rationale: String,
    pub intent: Intent,
}

/// What a step would do.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub enum Intent {
    ToolCall { tool_name: String, params: serde_json::Map<String, serde_json::Value> },
}

/// Who a row is attributed to, as far as this service and its simulated device write rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the wire's own names, see the design of the record")]
pub enum Actor {
    User,
    Ai { mission_id: String, iteration_id: String, rationale: String },
    System { source: &'static str },
}

/// The actor of the rows that this service writes.
pub const MISSION_RUNNER: Actor = Actor::System { source: "mission-runner" };

/// The id of the one iteration that a slot of a mission can have: derived, so that no crash, retry
/// or race can make two.
pub fn iteration_id(mission_id: &str, slot: Timestamp) -> String {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d61_6e61_2d61_495f_8974_6572_6174_696f);
    Uuid::new_v5(&NAMESPACE, format!("{mission_id}\n{}", time::iso(slot)).as_bytes()).to_string()
}

/// Another type than expected counts as absent.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    value: D,
) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}
