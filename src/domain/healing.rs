//! What a stale copy hid: the merged iterations ([`History`]) beside the list that last-writer-wins left in the
//! record.
//!
//! A healing row is the same row as that of a plan, without a new iteration and with `nextRunAt` as it is. When
//! one is written is for the caller to decide; [`MAX_IN_A_ROW`] bounds how many.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::change::Fields;
use super::fold::text_of;
use super::history::{Field, History, Merged, Slot, Version, string};
use super::iteration::PastIteration;
use super::json;

/// So many healing rows may follow one another while each is overwritten by the same loss. A device takes our row
/// with the answer to its next push, so one that loses the same thing for the fourth time does not read at all.
/// The next plan's row restores it once more, and so does a look an hour later.
pub const MAX_IN_A_ROW: u32 = 3;

/// A mission's iterations as all devices should have them.
#[derive(Debug, Clone)]
pub struct Healed {
    /// Oldest first. What nobody has to change is the record's own text, byte for byte.
    pub iterations: Vec<Box<RawValue>>,
    /// What of it the record's list does not have.
    pub lost: Lost,
}

/// What a record's list lacks of what its log has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Whole iterations: plans of ours that no device has read, and older ones.
    pub iterations: u32,
    /// Texts of `userFeedback`.
    pub feedback: u32,
    /// Values of `status`, `overallStatus`, `finishedAt` and `summary`.
    pub statuses: u32,
    /// Values of `proposalId`.
    pub proposals: u32,
}

impl Lost {
    /// Is a healing row needed?
    pub fn is_anything(&self) -> bool {
        *self != Self::default()
    }

    fn count(&mut self, field: &Field) {
        match field {
            Field::Feedback => self.feedback += 1,
            Field::ProposalId(_) => self.proposals += 1,
            Field::OverallStatus | Field::FinishedAt | Field::Summary | Field::StepStatus(_) => {
                self.statuses += 1
            }
        }
    }
}

impl History {
    /// The list with everything in it that devices should have. `current` is the record's own.
    ///
    /// A plan of ours that we superseded is left out; that alone is no loss. What has no id stays where it is.
    pub fn heal(&self, current: &[Box<RawValue>]) -> Healed {
        let mut lost = Lost::default();
        let mut present = HashMap::new();
        let mut placed: Vec<(Option<usize>, Box<RawValue>)> = Vec::new();
        for text in current {
            let version = Version::read(text);
            let known = version.and_then(|version| Some((self.find(&version.id)?, version)));
            let Some(((index, merged), version)) = known else {
                placed.push((None, text.clone()));
                continue;
            };
            present.insert(index, ());
            if !(merged.superseded && merged.is_unread()) {
                placed.push((Some(index), merged.completed(text, &version, &mut lost)));
            }
        }
        for (index, merged) in self.iterations.iter().enumerate() {
            if !present.contains_key(&index) && self.is_missed(index, merged) {
                lost.iterations += 1;
                let at = placed.iter().position(|(other, _)| other.is_some_and(|other| other > index));
                placed.insert(at.unwrap_or(placed.len()), (Some(index), merged.text()));
            }
        }
        Healed { iterations: placed.into_iter().map(|(_, text)| text).collect(), lost }
    }

    /// How many plans of ours in a row, up to the last one, no device has read. Slots that failed do not count.
    pub fn unread_in_a_row(&self) -> usize {
        let plans = self.iterations.iter().rev().filter(|merged| !(merged.is_server && merged.has_failed()));
        plans.take_while(|merged| merged.superseded || merged.is_unread()).count()
    }

    /// Should an iteration that the record's list does not have be there? Not one that a browser had begun and
    /// never finished; not a plan that nobody has read where its slot has another, or where we have planned since.
    fn is_missed(&self, index: usize, merged: &Merged) -> bool {
        if merged.superseded || merged.is_running() {
            return false;
        }
        let replaces = |(at, other): (usize, &Merged)| {
            let later_of_ours = other.is_server && at > index;
            let same_slot = merged.slot.is_some_and(|slot| slot.contains(other.started_at));
            at != index && !other.has_failed() && (later_of_ours || same_slot)
        };
        !merged.is_unread() || !self.iterations.iter().enumerate().any(replaces)
    }
}

impl Slot {
    fn contains(&self, started_at: Option<Timestamp>) -> bool {
        started_at.is_some_and(|at| at >= self.from && self.until.is_none_or(|until| at < until))
    }
}

impl Merged {
    /// A plan of ours that no device has turned into proposals, worked on or answered.
    pub(super) fn is_unread(&self) -> bool {
        self.is_server
            && json::read(self.text().get()).is_ok_and(|iteration: PastIteration| iteration.is_unread())
    }

    fn is_running(&self) -> bool {
        self.overall_status().as_deref() == Some("running")
    }

    fn has_failed(&self) -> bool {
        self.overall_status().as_deref() == Some("failed")
    }

    fn overall_status(&self) -> Option<String> {
        string(self.values.get(&Field::OverallStatus).map(AsRef::as_ref))
    }

    /// The fullest version with the merged values.
    fn text(&self) -> Box<RawValue> {
        let Some(fullest) = Version::read(&self.fullest) else { return self.fullest.clone() };
        self.completed(&self.fullest, &fullest, &mut Lost::default())
    }

    /// A version with the merged values in place of those that differ. One with fewer steps than another makes
    /// way for that.
    fn completed(&self, text: &RawValue, version: &Version, lost: &mut Lost) -> Box<RawValue> {
        let differs = |(field, value): &(&Field, &RawValue)| {
            version.values.get(field).is_none_or(|has| has.get() != value.get())
        };
        let values = self.values.iter().map(|(field, value)| (field, &**value));
        let missing: Vec<_> = values.filter(differs).collect();
        if missing.is_empty() {
            return text.to_owned();
        }
        let base = if version.steps < self.steps { &*self.fullest } else { text };
        let Ok((completed, set)) = with_values(base, missing) else { return text.to_owned() };
        set.iter().for_each(|field| lost.count(field));
        if set.is_empty() { text.to_owned() } else { completed }
    }
}

/// Sets the values in an iteration, and tells which were set: a step that this version of the plan does not have is
/// another version's. Everything else keeps its text.
fn with_values<'field>(
    text: &RawValue,
    mut values: Vec<(&'field Field, &RawValue)>,
) -> serde_json::Result<(Box<RawValue>, Vec<&'field Field>)> {
    let mut iteration: Fields = serde_json::from_str(text.get())?;
    let mut plan: Vec<Fields> =
        iteration.get("plan").and_then(|plan| serde_json::from_str(plan.get()).ok()).unwrap_or_default();
    values.retain(|(field, value)| {
        let (step, name) = field.place();
        let set = |fields: &mut Fields| fields.insert(name.to_owned(), (*value).to_owned());
        let Some(id) = step else {
            set(&mut iteration);
            return true;
        };
        // All steps with that id, should there be several: one that kept another value would be lost again.
        plan.iter_mut().filter(|step| text_of(step, "id").as_deref() == Some(id)).map(set).count() > 0
    });
    if !plan.is_empty() {
        iteration.insert("plan".into(), to_raw_value(&plan)?);
    }
    Ok((to_raw_value(&iteration)?, values.into_iter().map(|(field, _)| field).collect()))
}
