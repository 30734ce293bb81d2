//! Every version of a mission's iterations that its log has, merged into one.
//!
//! A device sends its whole list of iterations with every edit, also a list that is older than what other
//! devices and this service have written since. Last-writer-wins takes the list with the newest clock, so such
//! an edit hides plans and feedback from every device. But no device ever removes an iteration, so the log still
//! holds what was hidden. The rules:
//!
//! - **An iteration exists** from the first row that has it, but for a plan of ours that no device has read and
//!   that a later row of ours leaves out: that one is superseded, until a device sends a new version of it.
//! - **A row changes a field** of an iteration if it brings a value that no row before it had. A stale copy
//!   repeats what was there, so it changes nothing. A value that was there before counts again where its device
//!   takes back what it knew: the record has had the value of the device's last row since then, and this row has another.
//!   Of several values the one that came last counts.
//! - **A status never goes back**: `planned`, `staged`, then any other; `running`, `awaiting-review`, then any
//!   other. Among equals the one that came last counts.
//! - Only the fields that devices change are merged ([`Field`]). All others are those of the version that is in
//!   the record, or, where it is gone from there, of its newest version with the most steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::change::{CLIENT_ID, Op};
use super::fold::Fold;
use super::opened::LogRow;
use super::version::{Field, Values, Version, hash, rank, string};

/// So many clients are known by what they sent: a user has fewer devices.
const CLIENTS: usize = 16;

/// All versions of a mission's iterations. Rows go in by `created_at`, then `id`, as into the fold.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order in which the log has them first.
    pub(super) iterations: Vec<Merged>,
    by_id: HashMap<String, usize>,
    /// Hash of a version's text → what it is; none where it has no id. A list repeats all of its iterations in each
    /// row, and each version is parsed once.
    versions: HashMap<u64, Option<Known>>,
    /// Which version of each iteration the record has: the list whose clock is the newest.
    current: HashMap<usize, At>,
    /// Which version of each iteration each client sent last.
    sent: HashMap<String, HashMap<usize, At>>,
    /// Rows so far.
    rows: u64,
    /// How many iterations there were after a row of ours that sums up older rows, which are not here; `None` before it.
    /// See [`super::window`].
    summed_up: Option<usize>,
    /// Does what was found depend on those older rows?
    pub(super) is_in_doubt: bool,
    /// Unread plans in a row that older rows have, right before those that are known here.
    pub(super) older_unread: usize,
    /// Ids of iterations that older rows have, as far as somebody looked.
    pub(super) older_ids: HashSet<String>,
}

/// A row that has a list of iterations, without that list.
#[derive(Debug, Clone)]
pub struct ListRow {
    /// Its place among the rows of the mission.
    pub index: usize,
    /// Who sent it.
    pub client_id: String,
    /// The slot that it ends, where it is a row of ours.
    pub(super) slot: Option<Slot>,
    /// Is its list the record's from then on?
    pub(super) is_current: bool,
    /// Is it a row of ours that sums up older ones?
    pub(super) sums_up: bool,
}

/// A version by its hash, and the row since which it stands there.
#[derive(Debug, Clone, Copy)]
struct At {
    version: u64,
    row: u64,
}

/// A version that was parsed.
#[derive(Debug, Clone)]
struct Known {
    index: usize,
    values: Arc<Values>,
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
    /// Was it planned before the row that sums up all older ones, which does not have it? Then it comes before all that
    /// are known.
    pub is_older: bool,
    /// Iterations of browsers that first came in a row which hid this one: a tab planned the slot without knowing
    /// that it had been planned.
    pub planned_again: Vec<Range<usize>>,
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
    /// Takes the next row, sent by `client_id`. `before` is the fold of the rows before it.
    ///
    /// Rows whose list loses against a newer clock count too: feedback that was written offline before our plan
    /// is in such a row.
    pub fn apply(&mut self, row: &LogRow, client_id: &str, before: &mut Fold<'_>) {
        if is_hard_delete(row) {
            *self = Self::default();
        }
        if let Some(list) = row.opened.get("iterations").flatten().filter(|_| has_list(row)) {
            self.apply_list(&ListRow::of(0, row, client_id, before), list);
        }
    }

    /// Takes the list of the next row that has one.
    pub fn apply_list(&mut self, row: &ListRow, list: &RawValue) {
        let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else { return };
        self.rows += 1;
        let (client_id, ours) = (row.client_id.as_str(), row.is_ours());
        let known_before = self.iterations.len();
        let knows_sender = self.sent.contains_key(client_id);
        let in_row: HashMap<usize, u64> =
            list.into_iter().filter_map(|text| self.take(text, row.slot, ours || knows_sender)).collect();
        for (index, version) in &in_row {
            self.take_back(client_id, *index, *version);
        }
        if ours {
            self.supersede_missing(&in_row);
            self.summed_up = self.summed_up.or(row.sums_up.then_some(self.iterations.len()));
        } else {
            self.note_planned_again(known_before, &in_row);
            self.supersede_unknown(known_before);
        }
        self.note_sent(client_id, &in_row);
        if row.is_current {
            self.make_current(&in_row);
        }
    }

    /// The iterations of a list that are not known in this version.
    pub fn unknown<'list>(&self, list: &'list RawValue) -> impl Iterator<Item = &'list RawValue> {
        let list = serde_json::from_str::<Vec<&RawValue>>(list.get()).unwrap_or_default();
        list.into_iter().filter(|text| !self.versions.contains_key(&hash(text)))
    }

    /// Does what was found depend on rows older than the one that sums them up?
    pub fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Adds how many plans before those that are known here were never read.
    pub fn add_older_unread(&mut self, plans: usize) {
        self.older_unread = plans;
    }

    /// Adds the id of an iteration that only older rows have.
    pub fn add_older_id(&mut self, id: String) {
        self.older_ids.insert(id);
    }

    /// The merged iteration with this id.
    pub(super) fn find(&self, id: &str) -> Option<(usize, &Merged)> {
        let index = *self.by_id.get(id)?;
        Some((index, &self.iterations[index]))
    }

    /// Takes one version; tells whose it is, and its hash. `is_told`: is it known what its sender had before?
    fn take(&mut self, text: &RawValue, slot: Option<Slot>, is_told: bool) -> Option<(usize, u64)> {
        let hash = hash(text);
        if let Some(known) = self.versions.get(&hash) {
            return known.as_ref().map(|known| (known.index, hash));
        }
        let known = Version::read(text).map(|version| {
            let next = self.iterations.len();
            let index = *self.by_id.entry(version.id.clone()).or_insert(next);
            if index == next {
                self.iterations.push(Merged::new(text, &version, slot));
            } else if self.summed_up.is_some_and(|old| index < old)
                && self.iterations[index].may_be_old(&version, is_told)
            {
                self.is_in_doubt = true;
            }
            self.iterations[index].merge(text, &version);
            Known { index, values: Arc::new(version.values) }
        });
        let index = known.as_ref().map(|known| known.index);
        self.versions.insert(hash, known);
        index.map(|index| (index, hash))
    }

    /// A client that had sent what the record has now, and sends something else, has changed it, also where it goes
    /// back to a value that was there before, or takes a text away.
    fn take_back(&mut self, client_id: &str, index: usize, version: u64) {
        let sent = self.sent.get(client_id).and_then(|sent| sent.get(&index));
        let (Some(sent), Some(current)) = (sent, self.current.get(&index)) else { return };
        // Had the record another version since that client's last row, it may have pulled that one: then what it sends is
        // the copy of an old list, and no change of its own.
        if version == current.version || sent.row < current.row {
            return;
        }
        let values =
            |hash| self.versions.get(hash).and_then(Option::as_ref).map(|known| Arc::clone(&known.values));
        let (Some(sent), Some(current), Some(new)) =
            (values(&sent.version), values(&current.version), values(&version))
        else {
            return;
        };
        self.iterations[index].take_back(&sent, &current, &new);
    }

    /// What many clients sent is not kept: each list would count once more. Who is forgotten is as one that sent nothing yet.
    fn note_sent(&mut self, client_id: &str, in_row: &HashMap<usize, u64>) {
        if self.sent.len() == CLIENTS && !self.sent.contains_key(client_id) {
            let last_row = |sent: &HashMap<usize, At>| sent.values().map(|at| at.row).max();
            let oldest =
                self.sent.iter().min_by_key(|(_, sent)| last_row(sent)).map(|(client, _)| client.clone());
            oldest.and_then(|client| self.sent.remove(&client));
        }
        let sent = in_row.iter().map(|(index, version)| (*index, At { version: *version, row: self.rows }));
        self.sent.entry(client_id.to_owned()).or_default().extend(sent);
    }

    fn make_current(&mut self, in_row: &HashMap<usize, u64>) {
        let since = |index: &usize, version: u64| {
            let old = self.current.get(index).filter(|old| old.version == version);
            old.copied().unwrap_or(At { version, row: self.rows })
        };
        self.current = in_row.iter().map(|(index, version)| (*index, since(index, *version))).collect();
    }

    fn supersede_missing(&mut self, in_row: &HashMap<usize, u64>) {
        for (index, merged) in self.iterations.iter_mut().enumerate() {
            if merged.is_server && !merged.superseded && !in_row.contains_key(&index) && merged.is_unread() {
                merged.superseded = true;
            }
        }
    }

    /// After the row that sums up all older ones: a plan of ours that it does not have was superseded before it.
    fn supersede_unknown(&mut self, known_before: usize) {
        if self.summed_up.is_some() {
            for merged in self.iterations[known_before..].iter_mut().filter(|merged| merged.is_server) {
                (merged.superseded, merged.is_older) = (merged.is_unread(), true);
            }
        }
    }

    /// A new iteration of a browser in a row without a plan of ours that the record has: the tab did not know of it.
    fn note_planned_again(&mut self, known_before: usize, in_row: &HashMap<usize, u64>) {
        let new = known_before..self.iterations.len();
        if new.clone().all(|index| self.iterations[index].is_server) {
            return;
        }
        for index in self.current.keys().filter(|index| !in_row.contains_key(index)) {
            if let Some(hidden) = self.iterations.get_mut(*index).filter(|merged| merged.is_server) {
                // As a range: each of many hidden ones may have each of many new ones.
                match hidden.planned_again.last_mut().filter(|last| last.end == new.start) {
                    Some(last) => last.end = new.end,
                    None => hidden.planned_again.push(new.clone()),
                }
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
            is_older: false,
            planned_again: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    fn merge(&mut self, text: &RawValue, version: &Version) {
        self.superseded = false;
        if version.steps >= self.steps {
            (self.fullest, self.steps) = (text.to_owned(), version.steps);
        }
        for (field, value) in &version.values {
            if self.seen.entry(field.clone()).or_default().insert(hash(value)) {
                self.set(field, value);
            }
        }
    }

    /// Could a version that is new here have been there in older rows, or take a value back that its client sent in one?
    /// A status that is further along is new in any case, and one that is less far changes nothing.
    fn may_be_old(&self, version: &Version, is_told: bool) -> bool {
        let differs = |field: &Field, value: &RawValue| {
            let is_new_here =
                |new: &RawValue| !self.seen.get(field).is_some_and(|seen| seen.contains(&hash(new)));
            match version.values.get(field) {
                Some(new) if new.get() == value.get() => false,
                Some(new) => rank(field, new) == rank(field, value) && (is_new_here(new) || !is_told),
                None => *field == Field::Feedback && !is_told,
            }
        };
        self.values.iter().any(|(field, value)| differs(field, value))
    }

    /// A status does not go back.
    fn set(&mut self, field: &Field, value: &RawValue) {
        let goes_back = self.values.get(field).is_some_and(|old| rank(field, old) > rank(field, value));
        if !goes_back {
            self.values.insert(field.clone(), value.to_owned());
        }
    }

    /// See [`History::take_back`]. A value that is hidden at the moment was not known to the client, and stays.
    fn take_back(&mut self, sent: &Values, current: &Values, new: &Values) {
        let text = |values: &Values, field: &Field| values.get(field).map(|value| value.get().to_owned());
        for field in current.keys().chain(new.keys()) {
            let knew = text(sent, field) == text(current, field)
                && text(&self.values, field) == text(current, field);
            if !knew || text(new, field) == text(current, field) {
                continue;
            }
            match new.get(field) {
                Some(value) => self.set(field, value),
                None if *field == Field::Feedback => drop(self.values.remove(field)),
                None => {}
            }
        }
    }
}

impl ListRow {
    /// What the row at `index` means for its list. `before` is the fold of the rows before it.
    pub(super) fn of(index: usize, row: &LogRow, client_id: &str, before: &mut Fold<'_>) -> Self {
        let slot = if client_id == CLIENT_ID { slot(row, before) } else { None };
        let is_current = before.would_take(row, "iterations");
        Self { index, client_id: client_id.to_owned(), slot, is_current, sums_up: false }
    }

    /// Is it the row of ours that sums up older ones?
    pub fn is_summing_up(&self) -> bool {
        self.sums_up
    }

    fn is_ours(&self) -> bool {
        self.client_id == CLIENT_ID
    }
}

/// Has the row a list that devices read? One of an update without a timestamp they do not.
pub(super) fn has_list(row: &LogRow) -> bool {
    match row.op {
        Op::Insert => true,
        Op::Update => row.field_timestamps.contains_key("iterations"),
        Op::Delete => false,
    }
}

pub(super) fn is_hard_delete(row: &LogRow) -> bool {
    let deleted_at = || row.opened.get("deletedAt").flatten();
    row.op == Op::Delete && deleted_at().is_none_or(|value| value.get() == "null")
}

/// The slot that a row of ours ends: what `nextRunAt` was, and what the row makes of it. A run on demand keeps
/// `nextRunAt`, and ends none.
fn slot(row: &LogRow, before: &mut Fold<'_>) -> Option<Slot> {
    let at = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let next = row.opened.get("nextRunAt").flatten();
    let (from, until) = (at(before.text("nextRunAt"))?, at(next.and_then(|next| string(Some(next)))));
    (until != Some(from)).then_some(Slot { from, until })
}
