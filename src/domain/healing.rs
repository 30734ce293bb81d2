//! What a stale copy hid: the merged iterations ([`History`]) beside the list that last-writer-wins left in the
//! record.
//!
//! A healing row is the same row as that of a plan, without a new iteration and with `nextRunAt` as it is. When
//! one is written is for the caller to decide; [`MAX_IN_A_ROW`] bounds how many.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::change::Fields;
use super::history::{History, Merged, Slot};
use super::iteration::PastIteration;
use super::json;
use super::version::{Field, Version, steps_by_id, string};

/// After so many healing rows without a look between them that found nothing lost, no more is written: a device takes our
/// row with the answer to its next push, so one that overwrites three of them does not read. The next plan's row restores
/// what is lost, and so does a look an hour later.
pub const MAX_IN_A_ROW: u32 = 3;

/// A mission's iterations as all devices should have them.
#[derive(Debug, Clone, Default)]
pub struct Healed {
    /// Oldest first. What nobody has to change is the record's own text, byte for byte.
    pub iterations: Vec<Box<RawValue>>,
    /// What of it the record's list does not have.
    pub lost: Lost,
    /// How many of those iterations are plans that no device has read.
    pub lost_unread: u32,
}

/// Orders iterations by their `startedAt`, and those of one time as the log has them first.
type Place = (Timestamp, usize);

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
        let mut healed = Healed::default();
        let mut present = HashSet::new();
        let mut kept: Vec<(Option<Place>, Box<RawValue>)> = Vec::new();
        for text in current {
            let version = Version::read(text);
            let known = version.and_then(|version| Some((self.find(&version.id)?, version)));
            let Some(((index, merged), version)) = known else {
                kept.push((None, text.clone()));
                continue;
            };
            present.insert(index);
            if !(merged.superseded && merged.is_unread()) {
                kept.push((Some(merged.place(index)), merged.completed(text, &version, &mut healed.lost)));
            }
        }
        let last_plan = self.last_plan();
        let is_missed = |(index, merged): &(usize, &Merged)| {
            !present.contains(index) && self.is_missed(*index, merged, last_plan)
        };
        let missed = self.iterations.iter().enumerate().filter(is_missed);
        let mut missed: Vec<_> = missed.map(|(index, merged)| (merged.place(index), merged)).collect();
        missed.sort_by_key(|(place, _)| *place);
        healed.insert(kept, missed);
        healed
    }

    /// How many plans of ours in a row, up to the last one, no device has read. Slots that failed do not count.
    pub fn unread_in_a_row(&self) -> usize {
        let is_counted = |merged: &&Merged| !(merged.is_older || merged.is_server && merged.has_failed());
        let plans = self.iterations.iter().rev().filter(is_counted);
        let unread = plans.take_while(|merged| merged.superseded || merged.is_unread()).count();
        unread + if unread > 0 { self.older_unread } else { 0 }
    }

    /// How many plans in a row were not read before the known ones, by the ids in the lists of our rows that ended a slot,
    /// newest first: the first is the one that sums up all older rows. A plan that a later list lacks was superseded.
    pub fn older_unread(&self, lists: &[Vec<String>]) -> usize {
        let mut first_in: HashMap<&String, usize> = HashMap::new();
        for (at, list) in lists.iter().enumerate().rev() {
            for id in list {
                first_in.entry(id).or_insert(at);
            }
        }
        let mut unread = 0;
        for (at, newer) in lists.iter().enumerate() {
            // One that an older list has was superseded and came back, which makes it no newer.
            for id in newer.iter().rev().filter(|id| first_in[id] == at) {
                match self.find(id) {
                    None => unread += 1,
                    Some((_, merged)) if merged.is_older && merged.superseded => unread += 1,
                    Some((_, merged)) if merged.is_server && merged.has_failed() => {}
                    Some((_, merged)) if merged.superseded || merged.is_unread() => {}
                    Some(_) => return unread,
                }
            }
        }
        unread
    }

    /// Had the mission ever an iteration with this id?
    pub fn had(&self, id: &str) -> bool {
        self.find(id).is_some() || self.older_ids.contains(id)
    }

    /// Our newest plan, by its time: a healing row may have put an older one behind it.
    fn last_plan(&self) -> Option<usize> {
        let is_plan =
            |(_, merged): &(usize, &Merged)| merged.is_server && !merged.is_older && !merged.has_failed();
        let plans = self.iterations.iter().enumerate().filter(is_plan);
        plans.max_by_key(|(index, merged)| (merged.started_at, *index)).map(|(index, _)| index)
    }

    /// Should an iteration that the record's list does not have be there? Not one that a browser had begun and
    /// never finished; not a plan that nobody has read where its slot has another, or where we have planned since.
    fn is_missed(&self, index: usize, merged: &Merged, last_plan: Option<usize>) -> bool {
        if merged.superseded || merged.is_running() {
            return false;
        }
        !merged.is_unread() || (Some(index) == last_plan && !self.is_planned_again(index, merged))
    }

    /// Has the slot of a plan another one, by a foreground runner? One that failed is none, and one that is running
    /// will be one or not.
    fn is_planned_again(&self, index: usize, merged: &Merged) -> bool {
        let of_this_slot = |(at, other): (usize, &Merged)| {
            // What came before our plan was known to us, and its slot was another.
            let in_time = at > index && merged.slot.is_some_and(|slot| slot.contains(other.started_at));
            // Without knowing of ours, but not before our slot had come: that would be another slot's.
            let since = merged.slot.map(|slot| slot.from).or(merged.started_at);
            let planned_again = |new: &Range<usize>| !other.is_server && new.contains(&at);
            let again = other.started_at >= since && merged.planned_again.iter().any(planned_again);
            at != index && (in_time || again)
        };
        let mut others = self.iterations.iter().enumerate();
        others.any(|(at, other)| of_this_slot((at, other)) && !other.has_failed() && !other.is_running())
    }
}

impl Healed {
    /// Each missed iteration goes before the first one that began after it.
    fn insert(&mut self, kept: Vec<(Option<Place>, Box<RawValue>)>, missed: Vec<(Place, &Merged)>) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.lost.iterations += count(missed.len());
        self.lost_unread += count(missed.iter().filter(|(_, merged)| merged.is_unread()).count());
        let mut missed = missed.into_iter().peekable();
        for (place, text) in kept {
            let earlier = |(missed, _): &(Place, &Merged)| place.is_some_and(|place| *missed < place);
            while let Some((_, merged)) = missed.next_if(earlier) {
                self.iterations.push(merged.text());
            }
            self.iterations.push(text);
        }
        self.iterations.extend(missed.map(|(_, merged)| merged.text()));
    }
}

impl Slot {
    fn contains(&self, started_at: Option<Timestamp>) -> bool {
        started_at.is_some_and(|at| at >= self.from && self.until.is_some_and(|until| at < until))
    }
}

impl Merged {
    /// Where it stands among the iterations, which have it at `index`.
    fn place(&self, index: usize) -> Place {
        (self.started_at.unwrap_or(Timestamp::MIN), index)
    }

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

    /// A version with the merged values set in it. If another version has more steps, all are set in that one: it may differ
    /// in any of them.
    fn completed(&self, text: &RawValue, version: &Version, lost: &mut Lost) -> Box<RawValue> {
        let has = |field: &Field, value: &RawValue| {
            version.values.get(field).map(|has| has.get()) == Some(value.get())
        };
        let values: Vec<_> = self.values.iter().map(|(field, value)| (field, &**value)).collect();
        if values.iter().all(|(field, value)| has(field, value)) {
            return text.to_owned();
        }
        let base = if version.steps < self.steps { &*self.fullest } else { text };
        let Ok((completed, set)) = with_values(base, values) else { return text.to_owned() };
        let mut restored = set.into_iter().filter(|field| !has(field, &self.values[*field])).peekable();
        if restored.peek().is_none() {
            return text.to_owned();
        }
        restored.for_each(|field| lost.count(field));
        completed
    }
}

/// Sets the values in an iteration, and tells which were set: a step that this version of the plan does not have, or has
/// twice, is another version's. Everything else keeps its text.
fn with_values<'field>(
    text: &RawValue,
    mut values: Vec<(&'field Field, &RawValue)>,
) -> serde_json::Result<(Box<RawValue>, Vec<&'field Field>)> {
    let mut iteration: Fields = serde_json::from_str(text.get())?;
    let mut plan: Vec<Fields> =
        iteration.get("plan").and_then(|plan| serde_json::from_str(plan.get()).ok()).unwrap_or_default();
    let steps = steps_by_id(&plan);
    values.retain(|(field, value)| {
        let (step, name) = field.place();
        let fields = match step {
            None => Some(&mut iteration),
            Some(id) => steps.get(id).map(|at| &mut plan[*at]),
        };
        fields.map(|fields| fields.insert(name.to_owned(), (*value).to_owned())).is_some()
    });
    if !plan.is_empty() {
        iteration.insert("plan".into(), to_raw_value(&plan)?);
    }
    Ok((to_raw_value(&iteration)?, values.into_iter().map(|(field, _)| field).collect()))
}
