//! The database answers, and refuses: for a moment, for ever, one mission or all of them.

use jiff::ToSpan as _;
use mana_ai::demo::llm::Behaviour;
use mana_ai::store::schedule::queries::quarantined;
use sqlx::{AssertSqlSafe, Executor as _};

use super::checks::{UsersRows, check_calls, check_invariants};
use crate::app::kills::{build_gate, close_gate, open_gate, until_waiting};
use crate::support::{World, due_mission, mission, now, soon};

/// Our rows of this mission are refused with this SQLSTATE, the first `times`. A sequence counts, for it
/// remembers what was rolled back.
async fn refuse(world: &World, mission: &str, sqlstate: &str, times: u32) {
    let sql = format!(
        "CREATE SEQUENCE refused;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             IF nextval('public.refused') <= {times} THEN
                 RAISE EXCEPTION 'not like this' USING ERRCODE = '{sqlstate}';
             END IF;
             RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON sync_changes FOR EACH ROW
             WHEN (NEW.client_id = 'mana-ai-runner' AND NEW.record_id = '{mission}') EXECUTE FUNCTION refuse()"
    );
    world.db.admin.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test]
async fn a_conflict_is_repeated() {
    for sqlstate in ["40001", "40P01", "55P03"] {
        let world = World::new().await;
        refuse(&world, "m1", sqlstate, 3).await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        let stats = world.tick().await;
        assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{sqlstate}: {stats:?}");
        assert_eq!(world.llm.requests().len(), 1, "{sqlstate}");
        let attempts = "SELECT count(*) FROM mana_ai.mission_runs WHERE outcome = 'planned'";
        assert_eq!(world.db.count(attempts).await, 1, "{sqlstate}");
    }
}

/// Ours has the schedule's row and waits at the gate, whose keeper wants that row.
#[tokio::test]
async fn a_deadlock_is_repeated() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let gate = "CREATE TRIGGER gate BEFORE INSERT ON sync_changes FOR EACH ROW WHEN (NEW.client_id = 'mana-ai-runner')";
    build_gate(&world, gate).await;
    let mut keeper = close_gate(&world).await;
    // So that ours is the one that finds it.
    keeper.execute("SET deadlock_timeout = '1min'").await.unwrap();
    let tick = world.tick_in_background();
    until_waiting(&world, "advisory").await;
    soon(keeper.execute("UPDATE mana_ai.mission_schedule SET waits = 'met'")).await.unwrap();
    open_gate(&mut keeper).await;
    let stats = soon(tick).await.unwrap();
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{stats:?}");
    assert_eq!((world.db.written().await.len(), world.llm.requests().len()), (1, 1));
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    soon(world.db.until(deadlocks, |count| count == 1)).await;
}

/// A trigger of mana-sync, a constraint, a conflict without end: each attempt is charged, and as not even the
/// failure can be told to the user, an operator is.
#[tokio::test]
async fn what_is_always_refused_is_set_aside() {
    // The data and its trigger are not quoted; what only met somebody else may come twice as often.
    for (sqlstate, attempts, reason) in
        [("P0001", 2, "SQLSTATE P0001"), ("23514", 2, "SQLSTATE 23514"), ("40001", 4, "SQLSTATE 40001")]
    {
        let world = World::with(&[("MAX_ATTEMPTS", "2")]).await;
        refuse(&world, "cursed", sqlstate, u32::MAX).await;
        world.device("alice").create_mission("cursed", due_mission()).await.unwrap();
        world.device("bob").create_mission("fine", due_mission()).await.unwrap();
        let before = UsersRows::of(&world.db).await;
        let first = world.tick().await;
        assert_eq!((first.plans_written_back, first.errors.len()), (1, 1), "{sqlstate}: {first:?}");
        for attempt in 2..=attempts {
            assert!(quarantined(&world.store, ("", ""), 10).await.unwrap().is_empty(), "{sqlstate}: not yet");
            assert_eq!(world.tick().await.errors.len(), 1, "{sqlstate}: {attempt}");
        }
        let aside = quarantined(&world.store, ("", ""), 10).await.unwrap().remove(0);
        assert_eq!(aside.mission_id, "cursed");
        let told = aside.reason.as_deref().unwrap();
        assert!(told.contains(reason) && !told.contains("not like this"), "{sqlstate}: {told}");
        assert_eq!(world.tick().await.due_mission_count, 0, "{sqlstate}");
        let charged = "SELECT attempts::bigint FROM mana_ai.mission_schedule WHERE mission_id = 'cursed'";
        assert_eq!(world.db.count(charged).await, attempts, "{sqlstate}");
        assert_eq!(world.llm.requests().len() as i64, attempts + 1, "{sqlstate}: one call per attempt");
        check_calls(&world).await;
        check_invariants(&world, &before).await;
    }
}

/// Refuses our rows of the users `refused-…`, each with the code at its place in the list. The message holds the row.
async fn refuse_users(world: &World, sqlstates: &[&str]) {
    let sqlstates = sqlstates.join("','");
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'Garten of %', NEW.user_id USING ERRCODE =
                 (ARRAY['{sqlstates}'])[split_part(NEW.user_id, '-', 2)::int];
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON sync_changes FOR EACH ROW
             WHEN (NEW.client_id = 'mana-ai-runner' AND NEW.user_id LIKE 'refused-%') EXECUTE FUNCTION refuse()"
    );
    world.db.admin.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// As many refused users as there are codes, with the oldest slots, and twenty others.
async fn some_refused_and_twenty_fine(world: &World, sqlstates: &[&str]) {
    refuse_users(world, sqlstates).await;
    for n in 1..=sqlstates.len() {
        let device = world.device(&format!("refused-{n}"));
        device.create_mission(&format!("r{n}"), mission(now() - 1.hour())).await.unwrap();
    }
    for n in 1..=20 {
        world.device(&format!("fine-{n}")).create_mission(&format!("f{n}"), due_mission()).await.unwrap();
    }
}

const END_WAITS: &str = "UPDATE mana_ai.mission_schedule SET not_before = '-infinity'";

/// A code that the server is not known to give for itself: MS001 is a trigger's own, XX000 any bug of the server.
#[tokio::test]
async fn a_refused_row_costs_nobody_else_a_plan() {
    const CODES: [&str; 8] = ["MS001", "45000", "21000", "XX000", "MS001", "45000", "21000", "XX000"];
    let minute = ("RETRY_MIN_MS", "60000");
    let world = World::with(&[("MAX_ATTEMPTS", "2"), minute, ("RETRY_MAX_MS", "60000")]).await;
    some_refused_and_twenty_fine(&world, &CODES).await;
    let first = world.tick().await;
    assert_eq!((first.plans_written_back, first.errors.len()), (20, 8), "{first:?}");
    let charged =
        "SELECT count(*) FROM mana_ai.mission_schedule WHERE user_id LIKE 'refused%' AND attempts = 1";
    assert_eq!(world.db.count(charged).await, 8);
    assert_eq!(world.tick().await.due_mission_count, 0, "they back off");
    world.db.admin.execute(END_WAITS).await.unwrap();
    let last = world.tick().await;
    assert_eq!((last.due_mission_count, last.errors.len()), (8, 8), "{last:?}");
    let aside = quarantined(&world.store, ("", ""), 10).await.unwrap();
    for (mission, sqlstate) in aside.iter().zip(CODES) {
        let reason = mission.reason.as_deref().unwrap();
        assert!(reason.contains(&format!("SQLSTATE {sqlstate}")), "{reason}");
    }
    assert_eq!((aside.len(), world.llm.requests().len()), (8, 20 + 2 * 8));
    let told = format!("{first:?}{last:?}{aside:?}");
    let quoted = "SELECT count(*) FROM mana_ai.mission_runs WHERE reason LIKE '%Garten%'";
    assert!(!told.contains("Garten") && world.db.count(quoted).await == 0, "the row is quoted: {told}");
    check_calls(&world).await;
}

/// A code that the server gives for itself, such as that of a full disk, for one user alone: not charged, but each wait
/// is longer than the one before, and the tick goes on with the others.
#[tokio::test]
async fn a_code_of_the_server_for_one_user_stops_no_tick() {
    // The last two as a trigger raises them: on a connection that stands.
    const CODES: [&str; 5] = ["53100", "58030", "F0000", "08001", "57P01"];
    let vars = [("TICK_CONCURRENCY", "5"), ("RETRY_MIN_MS", "60000"), ("RETRY_MAX_MS", "3600000")];
    let world = World::with(&vars).await;
    some_refused_and_twenty_fine(&world, &CODES).await;
    let waits = "SELECT count(*) FROM mana_ai.mission_schedule WHERE user_id LIKE 'refused%' AND attempts = 0
        AND not_before > now() + interval '50 s' AND refusals = ";
    for attempt in 1..=2 {
        let stats = world.tick().await;
        let planned = if attempt == 1 { 20 } else { 0 };
        assert_eq!((stats.plans_written_back, stats.errors.len()), (planned, 1), "{stats:?}");
        assert!(stats.errors[0].starts_with("5 mission(s) put off: "), "{stats:?}");
        let waiting = sqlx::query_scalar(AssertSqlSafe(format!("{waits}{attempt}")));
        let waiting: i64 = waiting.fetch_one(&world.db.admin).await.unwrap();
        assert_eq!(waiting, 5, "{attempt}");
        world.db.admin.execute(END_WAITS).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_may_not_be_written_costs_no_call() {
    let world = World::new().await;
    // The first tick would mend it.
    world.tick().await;
    for mission in 0..10 {
        let device = world.device(&format!("user-{mission}"));
        device.create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    world.db.admin.execute("REVOKE INSERT ON sync_changes FROM mana_ai").await.unwrap();
    let stats = world.tick().await;
    assert_eq!((world.llm.requests().len(), stats.due_mission_count), (0, 0));
    assert_eq!(stats.errors.len(), 1, "once, not per mission: {stats:?}");
    assert!(stats.errors[0].contains("may not read and write sync_changes"), "{stats:?}");
    world.db.admin.execute("GRANT INSERT ON sync_changes TO mana_ai").await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 10);
}

/// It is taken away during the call: the result is kept until it is given back.
#[tokio::test]
async fn a_result_waits_for_the_right_to_be_written() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    world.db.admin.execute("REVOKE INSERT ON sync_changes FROM mana_ai").await.unwrap();
    world.llm.behave(Behaviour::Plan);
    let tries = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let before = world.db.count(tries).await;
    soon(world.db.until(tries, |count| count > before)).await;
    world.db.admin.execute("GRANT INSERT ON sync_changes TO mana_ai").await.unwrap();
    assert_eq!(soon(tick).await.unwrap().plans_written_back, 1);
    assert_eq!((world.db.written().await.len(), world.llm.requests().len()), (1, 1));
}
