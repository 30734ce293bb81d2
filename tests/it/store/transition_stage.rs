//! The row of the schedule that each transition is tried on, and what it is afterwards.

use jiff::ToSpan as _;
use mana_ai::domain::run::{RunEnd, RunOutcome, Usage};
use mana_ai::store::Store;
use mana_ai::store::schedule::claimed::ClaimedMission;
use mana_ai::store::schedule::transition::{Transition, give_back};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::support::{TestDb, World, claim_due, now, with};

/// The row before each transition: due, with a number in every counter that could be reset or kept.
pub const DUE_ROW: &str = "
INSERT INTO mana_ai.mission_schedule (user_id, mission_id, next_run_at, change_count, attempts, lost, refusals,
    failed_slots, waits, not_before)
VALUES ('alice', 'm1', now() - interval '1 hour', 1, 2, 1, 3, 4, 'before', now() - interval '1 minute')";

/// The row's columns, with its times in words.
const ROW: &str = "
SELECT jsonb_build_object('attempts', attempts, 'lost', lost, 'refusals', refusals, 'failedSlots', failed_slots,
    'lease', CASE WHEN lease_until > clock_timestamp() THEN 'runs' WHEN lease_token IS NOT NULL THEN 'ended' END,
    'slot', CASE WHEN next_run_at > clock_timestamp() THEN 'ahead' WHEN next_run_at IS NOT NULL THEN 'due' END,
    'wait', CASE WHEN not_before = '-infinity' THEN NULL WHEN not_before = 'infinity' THEN 'new row'
        WHEN not_before > clock_timestamp() THEN 'ahead' ELSE 'over' END,
    'why', waits, 'quarantined', quarantined, 'changeCount', change_count, 'unreadable', unreadable IS NOT NULL)
FROM mana_ai.mission_schedule";

/// The row that [`DUE_ROW`] makes.
pub fn due_row() -> Value {
    json!({ "attempts": 2, "lost": 1, "refusals": 3, "failedSlots": 4, "lease": null, "slot": "due", "wait": "over",
        "why": "before", "quarantined": false, "changeCount": 1, "unreadable": false })
}

/// The row once it is claimed.
pub fn leased_row() -> Value {
    with(due_row(), json!({ "attempts": 3, "lost": 0, "lease": "runs" }))
}

pub struct Stage {
    pub world: World,
}

impl Stage {
    pub async fn new() -> Self {
        let world = World::new().await;
        world.db.admin.execute(DUE_ROW).await.unwrap();
        Self { world }
    }

    pub fn store(&self) -> &Store {
        &self.world.store
    }

    pub fn db(&self) -> &TestDb {
        &self.world.db
    }

    pub async fn set(&self, columns: &str) {
        let sql = format!("UPDATE mana_ai.mission_schedule SET {columns}");
        self.db().admin.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    pub async fn rows(&self) -> Vec<Value> {
        sqlx::query_scalar(ROW).fetch_all(&self.db().admin).await.unwrap()
    }

    pub async fn assert_row(&self, told: &str, before: Value, changed: Value) {
        assert_eq!(self.rows().await, [with(before, changed)], "{told}");
    }

    /// The outcomes of the runs, oldest first; empty while one runs.
    pub async fn assert_ledger(&self, outcomes: &[&str]) {
        let sql = "SELECT coalesce(outcome, '') FROM mana_ai.mission_runs ORDER BY id";
        let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(&self.db().admin).await.unwrap();
        assert_eq!(found, outcomes);
    }

    pub async fn claimed(&self) -> ClaimedMission {
        claim_due(self.store(), now() + 1.second()).await.remove(0)
    }

    pub async fn end(&self, claimed: &ClaimedMission, transition: Transition, outcome: RunOutcome) {
        let reason = (outcome != RunOutcome::Planned).then(|| "why".to_owned());
        let end = RunEnd::of(outcome, reason, &Usage::default());
        give_back(self.store(), claimed, transition, &end).await.unwrap();
    }
}
