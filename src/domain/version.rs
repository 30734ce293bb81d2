//! One version of an iteration, as far as versions are merged: see [`super::history`].

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::Fields;
use super::fold::text_of;

/// A field of an iteration that devices change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `userFeedback`.
    Feedback,
    /// `overallStatus`.
    OverallStatus,
    /// `finishedAt`.
    FinishedAt,
    /// `summary`.
    Summary,
    /// `status` of the step with this id.
    StepStatus(String),
    /// `proposalId` of the step with this id.
    ProposalId(String),
}

impl Field {
    /// Where it stands: in the step with this id, or in the iteration itself; and its name there.
    pub(super) fn place(&self) -> (Option<&str>, &'static str) {
        match self {
            Self::Feedback => (None, "userFeedback"),
            Self::OverallStatus => (None, "overallStatus"),
            Self::FinishedAt => (None, "finishedAt"),
            Self::Summary => (None, "summary"),
            Self::StepStatus(id) => (Some(id), "status"),
            Self::ProposalId(id) => (Some(id), "proposalId"),
        }
    }
}

/// The values of one iteration's fields that devices change. Absent and `null` are no values.
pub(super) type Values = BTreeMap<Field, Box<RawValue>>;

/// One version of an iteration, as far as it is merged.
pub(super) struct Version {
    pub id: String,
    pub started_at: Option<Timestamp>,
    pub is_server: bool,
    pub steps: usize,
    pub values: Values,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionFromLog {
    id: Option<Box<RawValue>>,
    started_at: Option<Box<RawValue>>,
    source: Option<Box<RawValue>>,
    user_feedback: Option<Box<RawValue>>,
    overall_status: Option<Box<RawValue>>,
    finished_at: Option<Box<RawValue>>,
    summary: Option<Box<RawValue>>,
    plan: Option<Box<RawValue>>,
}

impl Version {
    /// `None` where it is no object with an id, which no version can be told apart by.
    pub fn read(text: &RawValue) -> Option<Self> {
        let from: VersionFromLog = serde_json::from_str(text.get()).ok()?;
        let fields = [
            (Field::Feedback, from.user_feedback),
            (Field::OverallStatus, from.overall_status),
            (Field::FinishedAt, from.finished_at),
            (Field::Summary, from.summary),
        ];
        let mut values: Values =
            fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect();
        let plan: Option<Vec<Fields>> = from.plan.and_then(|plan| serde_json::from_str(plan.get()).ok());
        let plan = plan.unwrap_or_default();
        let steps = plan.len();
        values.extend(plan_values(plan));
        let started_at = string(from.started_at.as_deref()).and_then(|text| text.parse().ok());
        let is_server = string(from.source.as_deref()).as_deref() == Some("server");
        let id = string(from.id.as_deref()).filter(|id| !id.is_empty())?;
        Some(Self { id, started_at, is_server, steps, values })
    }
}

/// The values of the steps that [`steps_by_id`] finds.
fn plan_values(mut plan: Vec<Fields>) -> Vec<(Field, Box<RawValue>)> {
    let steps = steps_by_id(&plan).into_iter();
    steps.flat_map(|(id, at)| step_values(id, std::mem::take(&mut plan[at]))).collect()
}

/// The places in the plan of the steps with an id of their own. Steps that share one are left out: nobody could tell
/// which of them a value belongs to.
pub(super) fn steps_by_id(plan: &[Fields]) -> HashMap<String, usize> {
    let mut places: HashMap<String, Option<usize>> = HashMap::new();
    for (at, step) in plan.iter().enumerate() {
        if let Some(id) = step_id(step) {
            places.entry(id).and_modify(|place| *place = None).or_insert(Some(at));
        }
    }
    places.into_iter().filter_map(|(id, at)| Some((id, at?))).collect()
}

/// The id of a step; `None` where it has none.
fn step_id(step: &Fields) -> Option<String> {
    text_of(step, "id").filter(|id| !id.is_empty())
}

fn step_values(id: String, mut step: Fields) -> impl Iterator<Item = (Field, Box<RawValue>)> {
    let status = step.remove("status").map(|status| (Field::StepStatus(id.clone()), status));
    let proposal = step.remove("proposalId").map(|proposal| (Field::ProposalId(id), proposal));
    status.into_iter().chain(proposal).filter(|(_, value)| value.get() != "null")
}

/// How far along a status is. Of other fields every value is as good as any.
pub(super) fn rank(field: &Field, value: &RawValue) -> u8 {
    match field {
        Field::OverallStatus | Field::StepStatus(_) => match string(Some(value)).as_deref() {
            Some("running" | "planned") => 0,
            Some("awaiting-review" | "staged") => 1,
            _ => 2,
        },
        _ => 0,
    }
}

pub(super) fn string(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

pub(super) fn hash(text: &RawValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.get().hash(&mut hasher);
    hasher.finish()
}
