//! Versions beside each other: what a newer one installed serves an older one.

use mana_ai::store::access;
use mana_ai::store::runs::{self, RunFilter};
use serde_json::json;
use sqlx::Executor as _;

use crate::inputs::{NOTES, note};
use crate::support::{World, due_mission, with};

/// What the version before this one left: a policy that shows missions alone, and a ledger without the prompt's version.
const OLD: &str = "
DROP POLICY mana_ai_missions_only ON sync_changes;
CREATE POLICY mana_ai_missions_only ON sync_changes AS RESTRICTIVE TO mana_ai
    USING (app_id = 'ai' AND table_name = 'aiMissions') WITH CHECK (app_id = 'ai' AND table_name = 'aiMissions');
COMMENT ON POLICY mana_ai_missions_only ON sync_changes IS 'mana-ai access 2';
ALTER TABLE mana_ai.mission_runs DROP COLUMN prompt_version;
DELETE FROM mana_ai._sqlx_migrations WHERE version = 10";
/// What the version before this one asks of the policy.
const OLD_POLICY_QUESTION: &str = "SELECT count(*) FROM pg_policy WHERE polname = 'mana_ai_missions_only'
    AND substring(obj_description(oid, 'pg_policy') FROM '^mana-ai access (\\d+)$')::int >= 2";
/// How the version before this one ends a run.
const OLD_END: &str =
    "UPDATE mana_ai.mission_runs SET finished_at = clock_timestamp(), outcome = 'planned', calls = 1";
/// What the version before this one asks of the views before it ticks.
const OLD_QUESTION: &str = "SELECT count(*) FROM pg_class WHERE relowner = 'mana_ai_reader'::regrole
    AND oid IN ('mana_ai.mission_changes'::regclass, 'mana_ai.mission_writers'::regclass)
    AND obj_description(oid) = 'mana-ai access 1'";

/// A newer version's views and policy have higher numbers. This version ticks with them, with `MIGRATE_ON_START` and
/// without, and does not put its own in their place.
#[tokio::test]
async fn what_a_newer_version_installed_is_used_and_stays() {
    let world = World::with(&[("MIGRATE_ON_START", "false")]).await;
    let newer = "COMMENT ON VIEW mana_ai.mission_changes IS 'mana-ai access 9';
        COMMENT ON VIEW mana_ai.mission_writers IS 'mana-ai access 9';
        COMMENT ON POLICY mana_ai_missions_only ON sync_changes IS 'mana-ai access 9'";
    world.db.admin.execute(newer).await.unwrap();
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    access::verify(&world.store).await.unwrap();
    // Something else is missing, so that the set-up runs.
    world.db.admin.execute("DROP POLICY mana_ai_schedule ON sync_changes").await.unwrap();
    access::migrate(&world.store).await.unwrap();
    access::verify(&world.store).await.unwrap();
    let still = "SELECT count(*) FROM pg_description WHERE description = 'mana-ai access 9'
        AND objoid IN (SELECT oid FROM pg_policy UNION SELECT oid FROM pg_class WHERE relkind = 'v')";
    assert_eq!(world.db.count(still).await, 3, "nothing of the newer version was replaced");
}

/// The set-up replaces what the version before left, and that one finds the views and the policy as it knows them.
#[tokio::test]
async fn what_an_older_version_left_is_replaced_and_serves_it_still() {
    let world = World::with(&[("MIGRATE_ON_START", "false")]).await;
    let alice = world.device("alice");
    alice.create(NOTES, "n1", json!({ "title": "Verknüpft" })).await.unwrap();
    let mission = with(due_mission(), json!({ "inputs": [note("n1")] }));
    alice.create_mission("m1", mission).await.unwrap();
    world.db.admin.execute(OLD).await.unwrap();
    let told = access::verify(&world.store).await.unwrap_err().to_string();
    assert!(told.contains("mana_ai_missions_only is missing, or of an older version"), "{told}");
    let stats = world.tick().await;
    assert!(stats.errors[0].contains("older version") && world.llm.requests().is_empty(), "{stats:?}");
    access::migrate(&world.store).await.unwrap();
    access::verify(&world.store).await.unwrap();
    assert_eq!(world.db.count(OLD_QUESTION).await, 2);
    assert_eq!(world.db.count(OLD_POLICY_QUESTION).await, 1);
    assert_eq!(world.tick().await.plans_written_back, 1);
    assert!(world.llm.requests()[0].body.to_string().contains("Titel: Verknüpft"));
    // Beside this version the older one goes on as it did.
    world.db.admin.execute("UPDATE mana_ai.mission_runs SET prompt_version = NULL").await.unwrap();
    world.db.admin.execute(OLD_END).await.unwrap();
    let runs = runs::list(&world.store, &RunFilter::default(), 1).await.unwrap();
    assert_eq!(runs[0].prompt_version, None);
}

/// Without its columns this version could claim, call and write nothing down.
#[tokio::test]
async fn tables_of_an_older_version_are_not_set_up() {
    let world = World::with(&[("MIGRATE_ON_START", "false")]).await;
    let older = "ALTER TABLE mana_ai.mission_runs DROP COLUMN calls; DELETE FROM mana_ai._sqlx_migrations WHERE version = 6;
        DROP INDEX mana_ai.mission_runs_of_user";
    world.db.admin.execute(older).await.unwrap();
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert!(stats.errors[0].contains("the column mana_ai.mission_runs.calls is missing"), "{stats:?}");
    assert!(world.llm.requests().is_empty());
    access::migrate(&world.store).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
}
