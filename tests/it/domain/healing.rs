//! Which rows make the service heal a mission, and what the healing row has, case by case.

use jiff::{Timestamp, ToSpan};
use mana_ai::domain::change::{ChangeRow, Clocks, Op};
use mana_ai::domain::healing::Lost;
use mana_ai::domain::time::iso;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::memory_log::{DEVICES, OURS, Row, browser, fields, healed, plan, read, values, with};

/// A log that is written by hand. Each row comes a minute after the one before.
#[derive(Default)]
struct Log {
    rows: Vec<Row>,
}

impl Log {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-04-14T08:00:00Z".parse().unwrap();
        start + i64::try_from(self.rows.len()).unwrap().minutes()
    }

    fn push(&mut self, client: &'static str, op: Op, data: Value, clock: Timestamp) {
        let clocks: Clocks = match op {
            Op::Update => data.as_object().unwrap().keys().map(|field| (field.clone(), iso(clock))).collect(),
            Op::Insert | Op::Delete => Clocks::new(),
        };
        let row = ChangeRow {
            id: Uuid::from_u128(self.rows.len() as u128),
            created_at: self.now(),
            op,
            data: fields(&data),
            field_timestamps: clocks,
        };
        self.rows.push(Row(row, client));
    }

    fn create(iterations: Value) -> Self {
        let mut log = Self::default();
        let at = iso(log.now());
        let data = json!({ "title": "A", "state": "active", "createdAt": at, "updatedAt": at,
            "nextRunAt": "2026-04-14T08:01:00.000Z", "iterations": iterations });
        log.push(DEVICES[0], Op::Insert, data, Timestamp::UNIX_EPOCH);
        log
    }

    fn device(&mut self, iterations: Value) {
        self.by(DEVICES[0], iterations);
    }

    fn by(&mut self, client: &'static str, iterations: Value) {
        let now = self.now();
        self.push(
            client,
            Op::Update,
            json!({ "title": "B", "iterations": iterations, "updatedAt": iso(now) }),
            now,
        );
    }

    fn ours(&mut self, iterations: Value, next: Option<&str>) {
        let now = self.now();
        self.push(OURS, Op::Update, json!({ "iterations": iterations, "nextRunAt": next }), now);
    }

    fn healed(&self) -> (Vec<Value>, Lost) {
        let healed = healed(&self.rows);
        (values(&healed.iterations), healed.lost)
    }
}

const NEXT: Option<&str> = Some("2026-04-14T09:00:00.000Z");
const AT: &str = "2026-04-14T08:01:30.000Z";

#[test]
fn an_edit_by_a_stale_device_loses_no_plan() {
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.device(json!([]));
    let (list, lost) = log.healed();
    assert_eq!(list, [plan("p1", AT)]);
    assert_eq!(lost, Lost { iterations: 1, ..Lost::default() });
    log.ours(json!(list), NEXT);
    assert!(!log.healed().1.is_anything(), "healed once");
}

#[test]
fn feedback_written_before_our_plan_arrived_is_kept() {
    let old = with(plan("p0", "2026-04-14T07:00:00Z"), "/plan/0/status", json!("staged"));
    let mut log = Log::create(json!([old]));
    log.ours(json!([old, plan("p1", AT)]), NEXT);
    // Written offline before our row, under an older clock: last-writer-wins drops the list.
    let told = with(old.clone(), "/userFeedback", json!("zu viel"));
    log.push(
        DEVICES[0],
        Op::Update,
        json!({ "iterations": [told] }),
        "2026-04-14T07:30:00Z".parse().unwrap(),
    );
    let (list, lost) = log.healed();
    assert_eq!(list, [told, plan("p1", AT)]);
    assert_eq!(lost, Lost { feedback: 1, ..Lost::default() });
}

#[test]
fn a_stale_copy_takes_no_status_and_no_proposal_back() {
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    let staged = with(plan("p1", AT), "/plan/0/status", json!("staged"));
    let staged = with(staged, "/plan/0/proposalId", json!("proposal"));
    log.device(json!([staged]));
    let approved = with(staged.clone(), "/plan/0/status", json!("approved"));
    log.device(json!([approved]));
    log.device(json!([plan("p1", AT)]));
    let (list, lost) = log.healed();
    assert_eq!(list, std::slice::from_ref(&approved));
    assert_eq!(lost, Lost { statuses: 1, proposals: 1, ..Lost::default() });
    // An earlier status that nobody had written yet does not win over a later one either.
    log.device(json!([with(approved.clone(), "/plan/1/status", json!("staged"))]));
    log.device(json!([with(approved.clone(), "/plan/1/status", json!("rejected"))]));
    log.device(json!([with(approved, "/plan/1/status", json!("staged"))]));
    assert_eq!(log.healed().0[0]["plan"][1]["status"], "rejected");
}

#[test]
fn the_newest_feedback_counts_and_an_old_copy_does_not() {
    let told = |text: &str| json!([with(plan("p1", AT), "/userFeedback", json!(text))]);
    let mut log = Log::create(told("a"));
    log.device(told("b"));
    log.by(DEVICES[1], told("a"));
    assert_eq!(
        log.healed().0,
        [with(plan("p1", AT), "/userFeedback", json!("b"))],
        "an old copy of another device"
    );
    log.ours(told("b"), NEXT);
    log.device(told("a"));
    assert_eq!(log.healed().0[0]["userFeedback"], "b", "it may have pulled that old copy");
    log.device(told("b"));
    log.device(told("a"));
    assert_eq!(log.healed().0[0]["userFeedback"], "a", "who knew what is there has changed it back");
    log.device(told(""));
    assert_eq!(log.healed().0[0]["userFeedback"], "", "taking a text back is a new value");
    log.device(json!([plan("p1", AT)]));
    assert_eq!(log.healed().0[0]["userFeedback"], Value::Null, "and so is taking the field away");
    log.by(DEVICES[1], told("a"));
    log.device(told("a"));
    assert!(!log.healed().1.is_anything());
}

#[test]
fn one_slot_has_one_plan() {
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    // A tab that opens plans before it pulls, and its list overwrites ours.
    log.device(json!([browser("b1", "2026-04-14T08:30:00Z")]));
    let (list, lost) = log.healed();
    assert_eq!(list, [browser("b1", "2026-04-14T08:30:00Z")]);
    assert!(!lost.is_anything());
    // However late it opens: its copy is older than our plan.
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.device(json!([browser("b1", "2026-04-14T12:00:00Z")]));
    assert!(!log.healed().1.is_anything());
    // One that failed is no plan, nor is one that never ended; and one that a tab made for the next slot is another's,
    // though another device's old list had hidden ours from it.
    for status in ["failed", "running"] {
        let other = with(browser("b1", "2026-04-14T08:30:00Z"), "/overallStatus", json!(status));
        let mut log = Log::create(json!([]));
        log.ours(json!([plan("p1", AT)]), NEXT);
        log.device(json!([other]));
        assert_eq!(log.healed().0, [plan("p1", AT), other]);
    }
    // A tab that knows our plan planned its slot all the same, and a third device's old list hid ours.
    let known = browser("b1", "2026-04-14T08:30:00Z");
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.device(json!([plan("p1", AT), known]));
    log.by(DEVICES[1], json!([known]));
    assert_eq!(log.healed().0, [known]);
    let next = browser("b1", "2026-04-14T09:00:00Z");
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.by(DEVICES[1], json!([]));
    log.device(json!([next]));
    assert_eq!(log.healed().0, [plan("p1", AT), next]);
}

#[test]
fn what_was_there_before_a_plan_does_not_take_its_place() {
    let early = browser("b0", "2026-04-14T08:30:00Z");
    let mut log = Log::create(json!([early]));
    log.ours(json!([early, plan("p1", AT)]), NEXT);
    log.by(DEVICES[1], json!([early]));
    assert_eq!(log.healed().0, [plan("p1", AT), early], "in the order of their times");
}

/// Steps that nobody can tell apart are not merged.
#[test]
fn steps_without_an_id_of_their_own_are_left_as_they_are() {
    let step = |id: &str, proposal: &str| json!({ "id": id, "status": "staged", "proposalId": proposal });
    let twice = |id: &str| {
        let steps = json!([step(id, "a"), step(id, "b")]);
        json!([with(plan("p1", AT), "/plan", steps)])
    };
    for id in ["", "same"] {
        let mut log = Log::create(twice(id));
        log.by(DEVICES[1], json!([]));
        log.device(twice(id));
        assert_eq!((json!(log.healed().0), log.healed().1.is_anything()), (twice(id), false), "{id}");
    }
}

/// A list of many plans that an old list hid, and a plan of many steps: what is quadratic takes minutes here.
#[test]
fn much_that_is_lost_costs_no_more_than_it_weighs() {
    let many: Vec<Value> = (0..20_000)
        .map(|n| json!({ "id": n.to_string(), "source": "server", "overallStatus": "approved", "plan": [] }))
        .collect();
    let mut log = Log::create(json!(many));
    log.by(DEVICES[1], json!([]));
    assert_eq!(log.healed().1.iterations, 20_000);
    let steps = |status: &str| {
        let steps: Vec<Value> =
            (0..20_000).map(|n| json!({ "id": n.to_string(), "status": status })).collect();
        json!([with(plan("p1", AT), "/plan", json!(steps))])
    };
    let mut log = Log::create(steps("planned"));
    log.device(steps("approved"));
    log.by(DEVICES[1], steps("planned"));
    assert_eq!(log.healed().1.statuses, 20_000);
}

#[test]
fn a_superseded_plan_stays_away_until_somebody_has_read_it() {
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.ours(json!([plan("p2", "2026-04-14T09:00:01Z")]), Some("2026-04-14T10:00:00.000Z"));
    assert!(!log.healed().1.is_anything());
    // A stale list brings it back, and loses the other: one of the two may stay.
    log.device(json!([plan("p1", AT)]));
    assert_eq!(log.healed().0, [plan("p2", "2026-04-14T09:00:01Z")]);
    let read = with(plan("p1", AT), "/plan/0/proposalId", json!("proposal"));
    log.device(json!([read]));
    assert_eq!(log.healed().0, [read, plan("p2", "2026-04-14T09:00:01Z")]);
}

#[test]
fn what_was_begun_and_never_finished_does_not_come_back() {
    let running = with(browser("b1", AT), "/overallStatus", json!("running"));
    let mut log = Log::create(json!([running]));
    log.device(json!([]));
    assert!(!log.healed().1.is_anything());
    // Its end comes with the plan: a copy without it makes way.
    let steps = plan("b1", AT)["plan"].clone();
    let done = with(browser("b1", AT), "/plan", steps);
    log.device(json!([done]));
    log.device(json!([running]));
    assert_eq!(log.healed().0, [done]);
}

#[test]
fn a_hard_delete_forgets_and_a_row_without_a_timestamp_tells_nothing() {
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.push(DEVICES[0], Op::Delete, json!({}), log.now());
    log.push(DEVICES[0], Op::Insert, json!({ "title": "again", "iterations": [] }), log.now());
    assert!(!log.healed().1.is_anything());
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    let Row(last, _) = log.rows.last_mut().unwrap();
    last.field_timestamps.clear();
    assert!(log.healed().0.is_empty());
}

#[test]
fn untouched_text_stays_byte_for_byte() {
    let odd = r#"[{"big": 123456789012345678901234567890, "id": "p1", "x": [1.10, {"b":1,"a":2}]}, {"no": "id"}, 7]"#;
    let mut log = Log::create(json!([]));
    let now = log.now();
    log.push(DEVICES[0], Op::Update, json!({ "iterations": [] }), now);
    let Row(row, _) = log.rows.last_mut().unwrap();
    row.data.insert("iterations".into(), RawValue::from_string(odd.into()).unwrap());
    let list = healed(&log.rows).iterations;
    let expected: Vec<Box<RawValue>> = serde_json::from_str(odd).unwrap();
    assert_eq!(format!("{list:?}"), format!("{expected:?}"));
}

/// Whose status would it be? So none is taken back, and none is written over another.
#[test]
fn steps_that_share_an_id_cost_no_healing_row() {
    let both = |status: &str| {
        let one = with(plan("p1", AT), "/plan/1/id", json!("p1-0"));
        with(with(one, "/plan/0/status", json!(status)), "/plan/1/status", json!(status))
    };
    let mut log = Log::create(json!([both("planned")]));
    log.device(json!([both("approved")]));
    log.device(json!([both("planned")]));
    let (list, lost) = log.healed();
    assert_eq!(list, [both("planned")]);
    assert!(!lost.is_anything());
}

/// A version in which the id is one step's alone has a value for it. It fits none of the two in another version.
#[test]
fn a_value_of_one_step_is_not_written_into_two() {
    let twice = with(plan("p1", AT), "/plan/1/id", json!("p1-0"));
    let once = with(plan("p1", AT), "/plan/0/status", json!("approved"));
    let mut log = Log::create(json!([twice]));
    log.device(json!([once]));
    log.device(json!([twice]));
    let (list, lost) = log.healed();
    assert_eq!(list, [twice]);
    assert!(!lost.is_anything(), "a healing row that changes nothing would follow each look");
}

/// The version with the steps is healed, and has the older status.
#[test]
fn a_version_with_more_steps_takes_over_every_value() {
    let told = with(plan("p1", AT), "/userFeedback", json!("zu viel"));
    let failed = with(with(plan("p1", AT), "/plan", json!([])), "/overallStatus", json!("failed"));
    let mut log = Log::create(json!([]));
    log.device(json!([told]));
    log.by(DEVICES[1], json!([failed]));
    let (list, lost) = log.healed();
    assert_eq!(list, [with(told, "/overallStatus", json!("failed"))]);
    assert_eq!(lost, Lost { feedback: 1, statuses: 2, ..Lost::default() }, "the status of its steps too");
    log.ours(json!(list), NEXT);
    assert!(!log.healed().1.is_anything(), "healed once");
}

/// A list may have an older plan behind the newest one, which is the one that nobody has read.
#[test]
fn the_newest_plan_is_told_by_its_time() {
    let staged = with(plan("p1", "2026-04-14T07:00:30.000Z"), "/plan/0/proposalId", json!("proposal"));
    let newest = plan("p2", AT);
    let mut log = Log::create(json!([]));
    log.ours(json!([newest, staged]), NEXT);
    log.by(DEVICES[1], json!([]));
    assert_eq!(log.healed().0, [staged, newest]);
}

#[test]
fn a_plan_that_is_read_late_is_no_newer_than_it_was() {
    let staged = with(plan("p1", AT), "/plan/0/proposalId", json!("proposal"));
    let mut log = Log::create(json!([]));
    log.ours(json!([plan("p1", AT)]), NEXT);
    log.ours(json!([plan("p2", AT)]), NEXT);
    log.device(json!([staged]));
    log.ours(json!([staged, plan("p3", AT)]), NEXT);
    assert_eq!(read(&log.rows).1.unread_in_a_row(), 2, "p2 and p3");
}

#[test]
fn unread_plans_in_a_row_are_counted_until_one_is_read() {
    let mut log = Log::create(json!([]));
    for slot in 0..9 {
        log.ours(json!([plan(&format!("p{slot}"), AT)]), NEXT);
        assert_eq!(read(&log.rows).1.unread_in_a_row(), slot + 1);
    }
    log.ours(json!([with(plan("failed", AT), "/overallStatus", json!("failed")), plan("p8", AT)]), NEXT);
    assert_eq!(read(&log.rows).1.unread_in_a_row(), 9, "a slot that failed is no plan");
    log.device(json!([with(plan("p8", AT), "/plan/0/proposalId", json!("proposal"))]));
    assert_eq!(read(&log.rows).1.unread_in_a_row(), 0);
}
