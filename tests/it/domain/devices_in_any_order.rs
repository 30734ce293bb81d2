//! Stale lists lose nothing: devices that edit, plan, read and give feedback in any order, with a server that
//! plans and heals, all in memory by the rules of `domain/`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan};
use mana_ai::domain::change::{ChangeRow, Op};
use mana_ai::domain::fold::{Fold, Record};
use mana_ai::domain::time::{after, iso};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::memory_log::{DEVICES, OURS, Row, fields, list, plan, read, read_whole, values};

/// What happens, on which of three devices.
#[derive(Debug, Clone, Copy)]
enum Event {
    Title(usize),
    Feedback(usize, usize),
    Stage(usize),
    /// The foreground runner of a tab that has not pulled.
    Foreground(usize),
    Push(usize),
    Slot,
    Heal,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..3_usize).prop_map(Event::Title),
        (0..3_usize, 0..4_usize).prop_map(|(device, at)| Event::Feedback(device, at)),
        (0..3_usize).prop_map(Event::Stage),
        (0..3_usize).prop_map(Event::Foreground),
        (0..3_usize).prop_map(Event::Push),
        Just(Event::Slot),
        Just(Event::Heal),
    ]
}

/// A device: what it has, and what it has not pushed.
#[derive(Default)]
struct Device {
    local: Fold<'static>,
    outbox: Vec<ChangeRow>,
    /// Rows of the log that it has pulled.
    pulled: usize,
}

#[derive(Default)]
struct World {
    log: Vec<Row>,
    devices: [Device; 3],
    clock: i64,
    /// Our plans by id, with their slot and the next one.
    plans: BTreeMap<String, (String, String)>,
    superseded: BTreeSet<String>,
    /// When foreground runners planned. Whatever slot a stale tab believes in, it plans the one of that moment.
    foreground: BTreeSet<String>,
    /// Plans that a foreground runner did not know when it planned.
    planned_again: BTreeSet<String>,
    feedback: BTreeMap<String, String>,
    known_texts: BTreeSet<String>,
    healing_rows: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        let at = world.tick();
        let data =
            json!({ "title": "A", "createdAt": at, "updatedAt": at, "nextRunAt": at, "iterations": [] });
        world.append(Op::Insert, &data, None, DEVICES[0]);
        world
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_776_153_600 + self.clock * 60).unwrap()
    }

    fn tick(&mut self) -> String {
        self.clock += 1;
        iso(self.now())
    }

    fn row(&self, op: Op, data: &Value, clock: Option<&str>) -> ChangeRow {
        let data = fields(data);
        let field_timestamps = clock
            .map(|clock| data.keys().map(|field| (field.clone(), clock.to_owned())).collect())
            .unwrap_or_default();
        ChangeRow {
            id: Uuid::from_u128(self.log.len() as u128),
            created_at: self.now(),
            op,
            data,
            field_timestamps,
        }
    }

    fn append(&mut self, op: Op, data: &Value, clock: Option<&str>, client: &'static str) {
        let row = self.row(op, data, clock);
        self.log.push(Row(row, client));
    }

    fn happen(&mut self, event: Event) {
        let now = self.tick();
        match event {
            Event::Title(device) => self.edit(device, |_| json!({ "title": now })),
            Event::Feedback(device, at) => self.feedback(device, at, &now),
            Event::Stage(device) => self.stage(device),
            Event::Foreground(device) => self.foreground(device, &now),
            Event::Push(device) => self.sync(device),
            Event::Slot => self.plan(&now),
            Event::Heal => self.heal(),
        }
    }

    /// As a device writes: what changed, and all lists as this device has them.
    fn edit(&mut self, device: usize, change: impl FnOnce(&mut Vec<Value>) -> Value) {
        let Some(record) = self.devices[device].local.record() else { return };
        let mut iterations = values(&list(&record));
        let mut data = change(&mut iterations);
        data["iterations"] = json!(iterations);
        let now = iso(self.now());
        data["updatedAt"] = json!(now);
        let row = self.row(Op::Update, &data, Some(&now));
        self.devices[device].local.apply(row.clone());
        self.devices[device].outbox.push(row);
    }

    fn feedback(&mut self, device: usize, at: usize, now: &str) {
        let mut told = None;
        self.edit(device, |iterations| {
            if let Some(iteration) = iterations.get_mut(at) {
                iteration["userFeedback"] = json!(now);
                told = iteration["id"].as_str().map(str::to_owned);
            }
            json!({})
        });
        if let Some(id) = told {
            // Which one wins is told by the order of arrival, see `sync`.
            self.feedback.entry(id).or_default();
        }
    }

    fn stage(&mut self, device: usize) {
        let now = iso(self.now());
        self.edit(device, |iterations| {
            for step in iterations
                .iter_mut()
                .filter(|it| it["source"] == "server")
                .flat_map(|it| it["plan"].as_array_mut().unwrap())
            {
                if step["proposalId"].is_null() {
                    step["proposalId"] = json!(format!("{now}-{device}"));
                    step["status"] = json!("staged");
                }
            }
            json!({})
        });
    }

    fn foreground(&mut self, device: usize, now: &str) {
        let Some(record) = self.devices[device].local.record() else { return };
        let slot: String = serde_json::from_str(record.fields["nextRunAt"].get()).unwrap();
        if slot.as_str() > now {
            return;
        }
        self.foreground.insert(now.to_owned());
        let known: BTreeSet<String> =
            values(&list(&record)).into_iter().map(|it| it["id"].to_string()).collect();
        let unknown = self.plans.keys().filter(|id| !known.contains(&json!(id).to_string())).cloned();
        self.planned_again.extend(unknown);
        let next = iso(self.now() + 5.minutes());
        self.edit(device, |iterations| {
            iterations.push(json!({ "id": format!("b-{now}"), "source": "browser", "startedAt": now,
                "overallStatus": "awaiting-review", "plan": [] }));
            json!({ "nextRunAt": next })
        });
    }

    /// Pushes, and takes what the log has.
    fn sync(&mut self, device: usize) {
        for mut row in std::mem::take(&mut self.devices[device].outbox) {
            row.id = Uuid::from_u128(self.log.len() as u128);
            row.created_at = self.now();
            self.arrive(&row);
            self.log.push(Row(row, DEVICES[device]));
        }
        let device = &mut self.devices[device];
        for Row(row, _) in &self.log[device.pulled..] {
            device.local.apply(row.clone());
        }
        device.pulled = self.log.len();
    }

    /// The feedback that came last with a text that was new.
    fn arrive(&mut self, row: &ChangeRow) {
        for (id, text) in texts(row) {
            if self.known_texts.insert(text.clone()) {
                self.feedback.insert(id, text);
            }
        }
    }

    fn plan(&mut self, now: &str) {
        let (record, history) = read(&self.log);
        let slot: String = serde_json::from_str(record.fields["nextRunAt"].get()).unwrap();
        if slot.as_str() > now {
            return;
        }
        let mut iterations = values(&history.heal(&list(&record)).iterations);
        let unread = |it: &Value| {
            it["source"] == "server"
                && it["plan"].as_array().unwrap().iter().all(|step| step["proposalId"].is_null())
                && it["userFeedback"].is_null()
        };
        let (old, kept): (Vec<_>, Vec<_>) = iterations.drain(..).partition(unread);
        self.superseded.extend(old.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        iterations = kept;
        let id = format!("p-{slot}");
        if iterations.iter().any(|it| it["id"] == json!(id)) {
            return;
        }
        iterations.push(plan(&id, now));
        let next = iso(self.now() + 5.minutes());
        self.plans.insert(id, (slot, next.clone()));
        self.write(&record, json!({ "iterations": iterations, "nextRunAt": next }));
    }

    fn heal(&mut self) {
        let (record, history) = read(&self.log);
        let healed = history.heal(&list(&record));
        let (_, whole) = read_whole(&self.log);
        let by_all = whole.heal(&list(&record));
        assert_eq!(values(&healed.iterations), values(&by_all.iterations), "by all rows");
        assert_eq!(history.unread_in_a_row(), whole.unread_in_a_row(), "unread, by all rows");
        if healed.lost.is_anything() {
            self.healing_rows += 1;
            self.write(&record, json!({ "iterations": values(&healed.iterations) }));
        }
    }

    fn write(&mut self, record: &Record, data: Value) {
        let clocks = [record.clock("iterations"), record.clock("nextRunAt")];
        let clocks: Vec<&str> = clocks.iter().map(AsRef::as_ref).collect();
        let at = after(self.now(), &clocks).unwrap();
        self.append(Op::Update, &data, Some(&at), OURS);
    }
}

fn texts(row: &ChangeRow) -> Vec<(String, String)> {
    let Some(list) = row.data.get("iterations") else { return Vec::new() };
    let list: Vec<Value> = serde_json::from_str(list.get()).unwrap();
    let text = |it: Value| Some((it["id"].as_str()?.to_owned(), it["userFeedback"].as_str()?.to_owned()));
    list.into_iter().filter_map(text).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_in_whatever_order_devices_push(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::new();
        (0..3).for_each(|device| world.sync(device));
        events.into_iter().for_each(|event| world.happen(event));
        (0..3).for_each(|device| { world.tick(); world.sync(device); });
        world.tick();
        world.heal();
        let (record, history) = read(&world.log);
        let healed = history.heal(&list(&record));
        prop_assert!(!healed.lost.is_anything(), "one row is enough: {:?}", healed.lost);

        (0..3).for_each(|device| world.sync(device));
        for device in &world.devices {
            let record = device.local.record().unwrap();
            let there = values(&list(&record));
            let find = |id: &str| there.iter().find(|it| it["id"] == json!(id));
            for (id, (slot, next)) in &world.plans {
                let by_a_tab = world.foreground.range::<String, _>(slot..next).next().is_some();
                let unknown_to_a_tab = world.planned_again.contains(id);
                let excused = world.superseded.contains(id) || by_a_tab || unknown_to_a_tab;
                prop_assert!(find(id).is_some() || excused, "{id} is lost: {there:#?}");
            }
            for (id, text) in world.feedback.iter().filter(|(id, text)| !text.is_empty() && !world.superseded.contains(*id)) {
                let told = find(id).map(|it| &it["userFeedback"]);
                prop_assert_eq!(told, Some(&json!(text)), "feedback of {}", id);
            }
        }
        let by_devices = world.log.iter().filter(|Row(_, client)| *client != OURS).count();
        prop_assert!(world.healing_rows <= by_devices, "{} healing rows, {by_devices} of devices", world.healing_rows);
    }
}
