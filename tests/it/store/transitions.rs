//! The state machine of docs/state-machine.md: each transition on a real database, and the page against the code.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use mana_ai::domain::run::{RunEnd, RunOutcome, Usage};
use mana_ai::store::UserTx;
use mana_ai::store::runs::finish;
use mana_ai::store::schedule::change::NextSlot;
use mana_ai::store::schedule::claim::{ClaimScope, claim, renew};
use mana_ai::store::schedule::heal::follow_healing_row;
use mana_ai::store::schedule::release::release;
use mana_ai::store::schedule::transition::{RetryAt, Transition, TransitionKind};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use strum::VariantArray as _;

use super::transition_stage::{DUE_ROW, Stage, due_row, leased_row};
use crate::store::leases::expire_leases;
use crate::support::{TERMS, claim_due, compared, due_mission, mission, now, with};

fn next(next_run_at: Option<Timestamp>) -> NextSlot {
    NextSlot { next_run_at, change_count: 7 }
}

/// What moves the row to another slot.
fn moved_on() -> Value {
    json!({ "attempts": 0, "lost": 0, "refusals": 0, "failedSlots": 0, "lease": null, "slot": "ahead",
        "wait": null, "why": null, "changeCount": 7 })
}

async fn claimed() {
    let stage = Stage::new().await;
    let first = stage.claimed().await;
    assert_eq!((first.attempt.0, first.lost.0, first.forced, first.found_lost), (3, 0, false, false));
    stage.assert_row("a claim", due_row(), json!({ "attempts": 3, "lost": 0, "lease": "runs" })).await;
    stage.assert_ledger(&[""]).await;
    assert!(claim_due(stage.store(), now() + 1.second()).await.is_empty(), "one claim at a time");

    expire_leases(stage.db()).await;
    let second = stage.claimed().await;
    assert_eq!((second.attempt.0, second.lost.0, second.found_lost), (4, 1, true));
    stage.assert_row("after a lost one", leased_row(), json!({ "attempts": 4, "lost": 1 })).await;
    stage.assert_ledger(&["lost", ""]).await;
    claimed_on_demand().await;
}

async fn claimed_on_demand() {
    let stage = Stage::new().await;
    let one = async |mission_id| {
        claim(stage.store(), TERMS, ClaimScope::One { user_id: "alice", mission_id }).await.unwrap().pop()
    };
    stage.set("quarantined = true, not_before = 'infinity'").await;
    assert!(one("m1").await.is_none(), "what is set aside is not run");
    stage.set("quarantined = false, next_run_at = now() + interval '1 hour'").await;
    let forced = one("m1").await.unwrap();
    assert!(forced.forced && forced.slot.0 <= forced.claimed_at.0, "the slot is the moment of the claim");
    let ahead = json!({ "slot": "ahead", "wait": "new row" });
    stage.assert_row("before its slot", with(leased_row(), ahead.clone()), json!({})).await;
    assert!(one("m1").await.is_none(), "somebody works on it");

    // Its own slot's wait and charge stay as they were.
    stage
        .end(&forced, Transition::RetryAt(RetryAt::After(Duration::from_secs(60))), RunOutcome::Failed)
        .await;
    let given_back = json!({ "attempts": 2, "lost": 0, "refusals": 0, "why": "why" });
    stage.assert_row("given back", with(due_row(), ahead), given_back).await;

    stage.set("next_run_at = now(), attempts = 0").await;
    let due = one("m1").await.unwrap();
    assert_eq!((due.forced, due.attempt.0), (false, 1), "one that is due is worked on for its slot");
    assert!(one("unknown").await.is_some(), "the log decides whether there is such a mission");
    assert_eq!(stage.rows().await.len(), 2, "a row for its lease");
    assert!(one("third").await.is_none(), "two of this user are in flight");
    assert_eq!(stage.rows().await.len(), 2, "and no row for a lease that is not given");
}

async fn renewed() {
    let stage = Stage::new().await;
    let claimed = stage.claimed().await;
    let until = "SELECT (extract(epoch FROM lease_until) * 1000)::bigint FROM mana_ai.mission_schedule";
    let before = stage.db().count(until).await;
    assert!(renew(stage.store(), &claimed, TERMS.lease * 2).await.unwrap());
    assert!(stage.db().count(until).await >= before + 60_000);
    stage.assert_row("prolonged", leased_row(), json!({})).await;
    expire_leases(stage.db()).await;
    assert!(!renew(stage.store(), &claimed, TERMS.lease).await.unwrap(), "it has ended");
    stage.assert_row("not revived", leased_row(), json!({ "lease": "ended" })).await;
    stage.assert_ledger(&[""]).await;
}

async fn planned() {
    let stage = Stage::new().await;
    let planned = Transition::Planned(next(Some(now() + 1.hour())));
    let late = stage.claimed().await;
    expire_leases(stage.db()).await;
    stage.end(&late, planned, RunOutcome::Planned).await;
    stage.assert_row("too late", leased_row(), json!({ "lease": "ended" })).await;
    let claimed = stage.claimed().await;
    // A refresh by another replica may have found it unreadable: the newer look at the log counts.
    stage.set("next_run_at = NULL, unreadable = 'why'").await;
    stage.end(&claimed, planned, RunOutcome::Planned).await;
    stage.assert_row("planned", leased_row(), moved_on()).await;
    stage.assert_ledger(&["planned", "planned"]).await;
}

async fn slot_failed() {
    let stage = Stage::new().await;
    for (failed_slots, rest, wait) in
        [(4, None, Value::Null), (5, Some(Duration::from_hours(24)), json!("ahead"))]
    {
        let failed = Transition::SlotFailed { next: next(Some(now() + 1.hour())), failed_slots, rest };
        let claimed = stage.claimed().await;
        stage.end(&claimed, failed, RunOutcome::SlotFailed).await;
        let changed = with(moved_on(), json!({ "failedSlots": failed_slots, "wait": wait, "why": "why" }));
        stage.assert_row("the slot failed", leased_row(), changed).await;
        stage.set("next_run_at = now()").await;
    }
    stage.assert_ledger(&["slot-failed", "slot-failed"]).await;
}

async fn retry_at() {
    let given_back = json!({ "lease": null, "wait": "ahead", "why": "why" });
    let minute = RetryAt::After(Duration::from_secs(60));
    for (at, outcome, attempts, refusals, wait) in [
        (minute, RunOutcome::Failed, 3, 0, "ahead"),
        (RetryAt::Time(now() + 1.hour()), RunOutcome::Skipped, 2, 0, "ahead"),
        (minute, RunOutcome::RateLimited, 2, 4, "ahead"),
        (minute, RunOutcome::Misconfigured, 2, 4, "ahead"),
        (RetryAt::After(Duration::ZERO), RunOutcome::Interrupted, 2, 0, "over"),
    ] {
        let stage = Stage::new().await;
        let claimed = stage.claimed().await;
        stage.end(&claimed, Transition::RetryAt(at), outcome).await;
        let changed =
            with(given_back.clone(), json!({ "attempts": attempts, "refusals": refusals, "wait": wait }));
        stage.assert_row(outcome.as_str(), leased_row(), changed).await;
        stage.assert_ledger(&[outcome.as_str()]).await;
        stage.end(&claimed, Transition::Parked, RunOutcome::Skipped).await;
        stage.assert_ledger(&[outcome.as_str()]).await;
        assert_ne!(stage.rows().await[0]["wait"], "new row", "the lease has been given back");
    }
    let stage = Stage::new().await;
    let claimed = stage.claimed().await;
    stage.set("change_count = 2").await;
    stage.end(&claimed, Transition::RetryAt(minute), RunOutcome::Failed).await;
    let at_once = with(given_back, json!({ "refusals": 0, "changeCount": 2, "wait": "over" }));
    stage.assert_row("a new row came meanwhile", leased_row(), at_once).await;
}

async fn parked() {
    let parked = json!({ "lease": null, "refusals": 0, "wait": "new row", "why": "why" });
    for (outcome, attempts, quarantined) in [
        (RunOutcome::Quarantined, 3, true),
        (RunOutcome::Skipped, 2, false),
        (RunOutcome::Outdated, 2, false),
    ] {
        let stage = Stage::new().await;
        let claimed = stage.claimed().await;
        stage.end(&claimed, Transition::Parked, outcome).await;
        let changed = with(parked.clone(), json!({ "attempts": attempts, "quarantined": quarantined }));
        stage.assert_row(outcome.as_str(), leased_row(), changed).await;
        stage.assert_ledger(&[outcome.as_str()]).await;
        assert!(claim_due(stage.store(), now() + 1.second()).await.is_empty());
    }
    let stage = Stage::new().await;
    let claimed = stage.claimed().await;
    stage.set("change_count = 2").await;
    stage.end(&claimed, Transition::Parked, RunOutcome::Quarantined).await;
    let at_once = with(parked, json!({ "wait": "over", "changeCount": 2 }));
    stage.assert_row("a new row came meanwhile", leased_row(), at_once).await;
}

async fn moved() {
    for (slot, told) in [(Some(now() + 1.hour()), json!("ahead")), (None, Value::Null)] {
        let stage = Stage::new().await;
        let claimed = stage.claimed().await;
        stage.end(&claimed, Transition::Moved(next(slot)), RunOutcome::Skipped).await;
        let changed = with(moved_on(), json!({ "slot": told, "wait": "over" }));
        stage.assert_row("moved", leased_row(), changed).await;
        stage.assert_ledger(&["skipped"]).await;
    }
}

async fn call_given_back() {
    let stage = Stage::new().await;
    let claimed = stage.claimed().await;
    let insert = "INSERT INTO mana_ai.mission_schedule (user_id, mission_id, next_run_at, change_count, attempts, not_before, waits)
        SELECT 'alice', id, now() - interval '1 hour', 1, 0, now() + wait, why FROM (VALUES
            ('calls', interval '1 hour', 'its user''s calls of the last 24 hours are used up, and more'),
            ('later', interval '2 hours', 'its user''s calls of the last 24 hours are used up, and more'),
            ('backoff', interval '1 minute', 'another reason')) AS waiting (id, wait, why)";
    stage.db().admin.execute(insert).await.unwrap();
    let reserve = format!("UPDATE mana_ai.mission_runs SET calls = 1 WHERE id = {}", claimed.run_id);
    stage.db().admin.execute(AssertSqlSafe(reserve)).await.unwrap();
    let end = RunEnd::of(RunOutcome::Skipped, None, &Usage::default());
    finish(stage.store(), &claimed, &end).await.unwrap();
    let waiting = "SELECT string_agg(mission_id, ' ' ORDER BY mission_id) FROM mana_ai.mission_schedule WHERE not_before > now()";
    let waiting: String = sqlx::query_scalar(waiting).fetch_one(&stage.db().admin).await.unwrap();
    assert_eq!(waiting, "backoff later", "one call, and the mission that is first in line for it");
}

async fn released() {
    let stage = Stage::new().await;
    let ask = async || release(stage.store(), "alice", "m1").await.unwrap();
    assert!(!ask().await, "it waits for nothing");
    for waits in ["not_before = 'infinity', quarantined = true", "not_before = now() + interval '1 hour'"] {
        stage
            .set(&format!(
                "{waits}, attempts = 2, lost = 1, refusals = 3, failed_slots = 4, waits = 'before'"
            ))
            .await;
        assert!(ask().await, "{waits}");
        let anew =
            json!({ "attempts": 0, "lost": 0, "refusals": 0, "failedSlots": 0, "wait": null, "why": null });
        stage.assert_row(waits, due_row(), anew).await;
    }
    stage.claimed().await;
    stage.set("not_before = 'infinity'").await;
    assert!(!ask().await, "somebody works on it");
    // As a run on demand of a parked mission leaves the row when its process dies.
    expire_leases(stage.db()).await;
    assert!(ask().await, "a lease that has ended holds nobody");
    let anew = json!({ "attempts": 0, "refusals": 0, "failedSlots": 0, "wait": null, "why": null, "lease": "ended" });
    stage.assert_row("after a lost run", leased_row(), anew).await;
    stage.set("not_before = 'infinity'").await;
    stage.set("lease_token = NULL, lease_until = NULL, next_run_at = NULL, unreadable = 'why'").await;
    assert!(!ask().await, "only a device can make it readable");
}

async fn refreshed() {
    let stage = Stage::new().await;
    let device = stage.world.device("alice");
    let again = async || crate::support::refreshed(stage.store()).await;
    let waits =
        "not_before = 'infinity', waits = 'before', refusals = 3, attempts = 2, lost = 1, failed_slots = 4";
    device.create_mission("m1", due_mission()).await.unwrap();
    stage.set(&format!("{waits}, quarantined = true")).await;
    assert_eq!(again().await, 1);
    let anew = json!({ "refusals": 0, "attempts": 0, "wait": null, "why": null });
    // The fixture counts one row as well, so no row was added: the failed slots stay.
    stage.assert_row("another slot, quarantined", due_row(), with(anew.clone(), json!({ "lost": 0 }))).await;

    stage.set(waits).await;
    assert_eq!(again().await, 0);
    stage.assert_row("nothing new", due_row(), json!({ "wait": "new row" })).await;
    device.edit_mission("m1", json!({ "title": "neu" }), now()).await.unwrap();
    assert_eq!(again().await, 1);
    let edited = json!({ "attempts": 2, "failedSlots": 0, "changeCount": 2 });
    stage.assert_row("a new row, the same slot", due_row(), with(anew.clone(), edited)).await;

    stage.set(waits).await;
    device
        .edit_mission("m1", json!({ "nextRunAt": mission(now() + 1.hour())["nextRunAt"] }), now())
        .await
        .unwrap();
    assert_eq!(again().await, 1);
    let moved = json!({ "failedSlots": 0, "slot": "ahead", "changeCount": 3 });
    stage.assert_row("another slot", due_row(), with(anew.clone(), moved)).await;

    device.edit_mission("m1", json!({ "nextRunAt": "morgen" }), now()).await.unwrap();
    assert_eq!(again().await, 1);
    let unreadable = json!({ "failedSlots": 0, "slot": null, "changeCount": 4, "unreadable": true });
    stage.assert_row("unreadable", due_row(), with(anew, unreadable)).await;
    stage.assert_ledger(&[]).await;
}

async fn healed() {
    let stage = Stage::new().await;
    let follow = async |change_count| {
        let mut tx = UserTx::begin(stage.store(), "alice").await.unwrap();
        follow_healing_row(&mut tx, "m1", change_count).await.unwrap();
        tx.commit().await.unwrap();
    };
    follow(2).await;
    stage.assert_row("our row is counted", due_row(), json!({ "changeCount": 2 })).await;
    follow(4).await;
    stage.assert_row("a device's row came before it", due_row(), json!({ "changeCount": 2 })).await;
}

async fn removed() {
    let stage = Stage::new().await;
    let device = stage.world.device("alice");
    device.create_mission("m1", with(due_mission(), json!({ "state": "paused" }))).await.unwrap();
    let claimed = stage.claimed().await;
    assert_eq!(compared(stage.store()).await, 0, "a lease keeps its row");
    stage.end(&claimed, Transition::RetryAt(RetryAt::After(Duration::ZERO)), RunOutcome::Skipped).await;
    assert_eq!(crate::support::refreshed(stage.store()).await, 1);
    assert_eq!(stage.rows().await, Vec::<Value>::new());
    stage.db().admin.execute(DUE_ROW).await.unwrap();
    stage.set("mission_id = 'unknown'").await;
    assert_eq!(compared(stage.store()).await, 1, "the log does not know it");
    stage.assert_ledger(&["skipped"]).await;
}

#[tokio::test]
async fn each_transition_does_what_its_line_says() {
    for kind in TransitionKind::VARIANTS {
        match kind {
            TransitionKind::Claimed => claimed().await,
            TransitionKind::Renewed => renewed().await,
            TransitionKind::Planned => planned().await,
            TransitionKind::SlotFailed => slot_failed().await,
            TransitionKind::RetryAt => retry_at().await,
            TransitionKind::Parked => parked().await,
            TransitionKind::Moved => moved().await,
            TransitionKind::Released => released().await,
            TransitionKind::CallGivenBack => call_given_back().await,
            TransitionKind::Refreshed => refreshed().await,
            TransitionKind::Healed => healed().await,
            TransitionKind::Removed => removed().await,
        }
    }
}

/// The picture, the table and the code name the same transitions.
#[test]
fn the_page_names_the_transitions_of_the_code() {
    let page = include_str!("../../../docs/state-machine.md");
    let code: BTreeSet<&str> = TransitionKind::VARIANTS.iter().map(|kind| kind.name()).collect();
    let arrows = page.lines().filter(|line| line.contains(" --> ")).filter_map(|line| line.split_once(": "));
    let picture: BTreeSet<&str> = arrows
        .map(|(_, label)| label)
        .filter(|label| !label.starts_with('('))
        .flat_map(|label| label.split(", "))
        .collect();
    let lines = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let table: BTreeSet<&str> = lines.map(|(name, _)| name).collect();
    assert_eq!(picture, code, "the picture");
    assert_eq!(table, code, "the table");
}
