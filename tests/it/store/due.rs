//! "Due" is said once in SQL and once in Rust: both agree on every row that there can be.

use std::collections::BTreeSet;

use mana_ai::store::UserTx;
use mana_ai::store::schedule::due::DUE_NOW;
use mana_ai::store::schedule::queries::{counts, scheduled};
use mana_ai::store::schedule::scheduled::Scheduled;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::TestDb;

/// Every combination of a slot, a wait, a lease and a quarantine.
const ROWS: &str = "
INSERT INTO mana_ai.mission_schedule (user_id, mission_id, change_count, next_run_at, unreadable, not_before,
    lease_token, lease_until, quarantined)
SELECT 'alice', concat_ws(' ', slot_name, wait_name, lease_name, quarantined), 1, slot,
    CASE WHEN slot IS NULL THEN 'why' END, wait, CASE WHEN lease IS NOT NULL THEN gen_random_uuid() END, lease,
    quarantined AND wait = 'infinity'
FROM (VALUES ('no slot', NULL), ('past', now() - interval '1 hour'), ('now', now()), ('ahead', now() + interval '1 hour'))
        AS slots (slot_name, slot),
    (VALUES ('free', '-infinity'::timestamptz), ('waited', now() - interval '1 hour'), ('waits', now() + interval '1 hour'),
        ('parked', 'infinity')) AS waits (wait_name, wait),
    (VALUES ('unleased', NULL), ('lost', now() - interval '1 hour'), ('leased', now() + interval '1 hour'))
        AS leases (lease_name, lease),
    (VALUES (true), (false)) AS quarantines (quarantined)";

#[tokio::test]
async fn due_means_the_same_in_sql_and_in_rust() {
    let db = TestDb::ready().await;
    db.admin.execute(ROWS).await.unwrap();
    let sql = format!("SELECT mission_id FROM mana_ai.mission_schedule WHERE {DUE_NOW}");
    let by_sql: BTreeSet<String> =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&db.admin).await.unwrap().into_iter().collect();

    let store = mana_ai::store::Store::new(&db.url, 2).unwrap();
    let mut tx = UserTx::begin(&store, "alice").await.unwrap();
    let now = tx.began_at();
    let rows = scheduled(&mut tx, None).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(rows.len(), 4 * 4 * 3 * 2);
    let is_due = |row: &&Scheduled| row.hold(now).is_none();
    let by_rust: BTreeSet<String> = rows.iter().filter(is_due).map(|row| row.mission_id.clone()).collect();
    assert_eq!(by_sql, by_rust);
    // Two slots have come, two waits are over, two leases do not run, and both are counted twice.
    assert_eq!(by_sql.len(), 2 * 2 * 2 * 2, "{by_sql:?}");
    assert_eq!(counts(&store).await.unwrap().due, 16, "the figure goes by the same condition");
}
