//! Every version of a mission's iterations that its log has, merged into one.
//!
//! A device sends its whole list of iterations with every edit, also a list that is older than what other
//! devices and this service have written since. Last-writer-wins takes the list with the newest clock, so such
//! an edit hides plans and feedback from every device. But no device ever removes an iteration, and none takes
//! one of its values back, so the log still holds what was hidden. The rules:
//!
//! - **An iteration exists** from the first row that has it, but for a plan of ours that no device has read and
//!   that a later row of ours leaves out: that one is superseded, until a device sends a new version of it.
//! - **A row changes a field** of an iteration if it brings a value that no row before it had. A stale copy
//!   repeats what was there, so it changes nothing. Of several values the one that came last counts.
//! - **A status never goes back**: `planned`, `staged`, then any other; `running`, `awaiting-review`, then any
//!   other. Among equals the one that came last counts.
//! - Only the fields that devices change are merged ([`Field`]). All others are those of the version that is in
//!   the record, or, where it is gone from there, of its newest version with the most steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::change::{ChangeRow, Fields, Op};
use super::fold::{Fold, text_of};

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

/// All versions of a mission's iterations. Rows go in by `created_at`, then `id`, as into the fold.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order in which the log has them first.
    pub(super) iterations: Vec<Merged>,
    by_id: HashMap<String, usize>,
    /// Hash of a version's text → its iteration; none where it has no id. A list repeats all of its
    /// iterations in each row, and each version is parsed once.
    versions: HashMap<u64, Option<usize>>,
}

/// One iteration, merged from its versions.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    /// The version with the most steps, of those the newest: a foreground runner writes its iteration first
    /// without a plan.
    pub fullest: Box<RawValue>,
    /// How many steps that has.
    pub steps: usize,
    /// The merged values.
    pub values: Values,
    /// `startedAt`, where it is a timestamp.
    pub started_at: Option<Timestamp>,
    /// Is it a plan of this service?
    pub is_server: bool,
    /// What it was planned for, where a row of ours brought it at a slot of the mission.
    pub slot: Option<Slot>,
    /// Did we leave it out of a later row of ours, unread?
    pub superseded: bool,
    /// Hashes of all values seen, per field.
    seen: BTreeMap<Field, HashSet<u64>>,
}

/// A slot, and the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub from: Timestamp,
    /// `None` where no other follows.
    pub until: Option<Timestamp>,
}

impl History {
    /// Takes the next row, which may be one of `ours`. `before` is the fold of the rows before it.
    ///
    /// Rows whose list loses against a newer clock count too: feedback that was written offline before our plan
    /// is in such a row.
    pub fn apply(&mut self, row: &ChangeRow, ours: bool, before: &Fold) {
        if is_hard_delete(row) {
            *self = Self::default();
        }
        let Some(list) = list_of(row) else { return };
        let slot = if ours { slot(row, before) } else { None };
        let in_row: HashSet<usize> = list.into_iter().filter_map(|text| self.take(text, slot)).collect();
        if ours {
            self.supersede_missing(&in_row);
        }
    }

    /// The merged iteration with this id.
    pub(super) fn find(&self, id: &str) -> Option<(usize, &Merged)> {
        let index = *self.by_id.get(id)?;
        Some((index, &self.iterations[index]))
    }

    /// Takes one version, and tells whose it is.
    fn take(&mut self, text: &RawValue, slot: Option<Slot>) -> Option<usize> {
        let hash = hash(text);
        if let Some(known) = self.versions.get(&hash) {
            return *known;
        }
        let version = Version::read(text);
        let index = version.map(|version| {
            let next = self.iterations.len();
            let index = *self.by_id.entry(version.id.clone()).or_insert(next);
            if index == next {
                self.iterations.push(Merged::new(text, &version, slot));
            }
            self.iterations[index].merge(text, version);
            index
        });
        self.versions.insert(hash, index);
        index
    }

    fn supersede_missing(&mut self, in_row: &HashSet<usize>) {
        for (index, merged) in self.iterations.iter_mut().enumerate() {
            if merged.is_server && !in_row.contains(&index) && merged.is_unread() {
                merged.superseded = true;
            }
        }
    }
}

impl Merged {
    fn new(text: &RawValue, version: &Version, slot: Option<Slot>) -> Self {
        Self {
            fullest: text.to_owned(),
            steps: version.steps,
            values: Values::new(),
            started_at: version.started_at,
            is_server: version.is_server,
            slot: slot.filter(|slot| version.started_at.is_some_and(|started| started >= slot.from)),
            superseded: false,
            seen: BTreeMap::new(),
        }
    }

    fn merge(&mut self, text: &RawValue, version: Version) {
        self.superseded = false;
        if version.steps >= self.steps {
            (self.fullest, self.steps) = (text.to_owned(), version.steps);
        }
        for (field, value) in version.values {
            if !self.seen.entry(field.clone()).or_default().insert(hash(&value)) {
                continue;
            }
            let is_back = self.values.get(&field).is_some_and(|old| rank(&field, old) > rank(&field, &value));
            if !is_back {
                self.values.insert(field, value);
            }
        }
    }
}

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
        plan.into_iter().for_each(|step| values.extend(step_values(step)));
        let started_at = string(from.started_at.as_deref()).and_then(|text| text.parse().ok());
        let is_server = string(from.source.as_deref()).as_deref() == Some("server");
        let id = string(from.id.as_deref()).filter(|id| !id.is_empty())?;
        Some(Self { id, started_at, is_server, steps, values })
    }
}

fn step_values(mut step: Fields) -> Vec<(Field, Box<RawValue>)> {
    let Some(id) = text_of(&step, "id") else { return Vec::new() };
    let status = step.remove("status").map(|status| (Field::StepStatus(id.clone()), status));
    let proposal = step.remove("proposalId").map(|proposal| (Field::ProposalId(id), proposal));
    status.into_iter().chain(proposal).filter(|(_, value)| value.get() != "null").collect()
}

/// How far along a status is. Of other fields every value is as good as any.
fn rank(field: &Field, value: &RawValue) -> u8 {
    match field {
        Field::OverallStatus | Field::StepStatus(_) => match string(Some(value)).as_deref() {
            Some("running" | "planned") => 0,
            Some("awaiting-review" | "staged") => 1,
            _ => 2,
        },
        _ => 0,
    }
}

/// The list of a row that devices read: one of an update without a timestamp they do not.
fn list_of(row: &ChangeRow) -> Option<Vec<&RawValue>> {
    let reaches_devices = match row.op {
        Op::Insert => true,
        Op::Update => row.field_timestamps.contains_key("iterations"),
        Op::Delete => false,
    };
    let list = row.data.get("iterations").filter(|_| reaches_devices)?;
    serde_json::from_str(list.get()).ok()
}

fn is_hard_delete(row: &ChangeRow) -> bool {
    row.op == Op::Delete && row.data.get("deletedAt").is_none_or(|value| value.get() == "null")
}

/// The slot that a row of ours ends: what `nextRunAt` was, and what the row makes of it. A run on demand keeps
/// `nextRunAt`, and ends none.
fn slot(row: &ChangeRow, before: &Fold) -> Option<Slot> {
    let at = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let (from, until) = (at(before.text("nextRunAt"))?, at(text_of(&row.data, "nextRunAt")));
    (until != Some(from)).then_some(Slot { from, until })
}

pub(super) fn string(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

fn hash(text: &RawValue) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.get().hash(&mut hasher);
    hasher.finish()
}
