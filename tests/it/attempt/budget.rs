//! `CALLS_PER_USER_PER_DAY`: the calls of one user in 24 hours, over all replicas.

use jiff::ToSpan as _;
use mana_ai::demo::llm::Behaviour;
use mana_ai::demo::llm_errors::ManaLlmError;
use mana_ai::ops::explain::statuses;
use mana_ai::ops::status::status;
use sqlx::Executor as _;

use crate::support::{World, due_mission, mission, now, soon};

const CALLS: &str = "CALLS_PER_USER_PER_DAY";

async fn create(world: &World, user: &str, missions: usize) {
    for n in 1..=missions {
        let slot = mission(now() - 1.hour());
        world.device(user).create_mission(&format!("m{n:02}"), slot).await.unwrap();
    }
}

/// A user with many old slots and little budget, and one whose slot is the newest, with two places for both.
#[tokio::test]
async fn who_has_no_call_left_waits_and_nobody_else_does() {
    let world = World::with(&[(CALLS, "3"), ("TICK_CONCURRENCY", "2")]).await;
    create(&world, "alice", 30).await;
    world.device("bob").create_mission("m1", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (4, 0), "{stats:?}");
    assert_eq!(world.llm.requests().len(), 4);
    let uncharged = "SELECT count(*) FROM mana_ai.mission_schedule WHERE user_id = 'alice' AND attempts = 0
        AND refusals = 0 AND NOT quarantined AND not_before > now() + interval '23 hours 50 minutes'";
    assert_eq!(world.db.count(uncharged).await, 27);
    assert_eq!(world.tick().await.due_mission_count, 0, "they take no place of a claim");

    let told = statuses(&world.store, "alice", Some("m30")).await.unwrap().remove(0);
    assert!(!told.due && told.reason.contains("CALLS_PER_USER_PER_DAY is 3"), "{}", told.reason);
    let status = status(&world.store).await.unwrap();
    assert_eq!((status.over_budget, status.due), (27, 0));
    assert_eq!(world.runner.metrics().over_budget_total.get(), 27);
}

/// It ends when enough of the calls are 24 hours old, and not at midnight.
#[tokio::test]
async fn a_call_is_forgotten_after_a_day() {
    let world = World::with(&[(CALLS, "2")]).await;
    create(&world, "alice", 2).await;
    assert_eq!(world.tick().await.plans_written_back, 2);
    let age = "UPDATE mana_ai.mission_runs SET started_at = started_at - interval '23 hours' WHERE mission_id = 'm01'";
    world.db.admin.execute(age).await.unwrap();
    world.device("alice").create_mission("m3", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 0);
    let when =
        "SELECT count(*) FROM mana_ai.mission_schedule JOIN mana_ai.mission_runs AS first USING (user_id)
        WHERE mission_schedule.mission_id = 'm3' AND first.mission_id = 'm01'
        AND not_before = first.started_at + interval '24 hours'";
    assert_eq!(world.db.count(when).await, 1, "when the older one of the two is a day old");
    let day = "UPDATE mana_ai.mission_runs SET started_at = started_at - interval '1 hour';
        UPDATE mana_ai.mission_schedule SET not_before = not_before - interval '1 hour'";
    world.db.admin.execute(day).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
}

#[tokio::test]
async fn replicas_spend_one_budget() {
    let vars = [(CALLS, "5"), ("USER_CONCURRENCY", "100")];
    let world = World::with(&vars).await;
    create(&world, "alice", 20).await;
    let replicas: Vec<_> = (0..3).map(|_| world.replica(&vars)).collect();
    let ticks = replicas.iter().map(|replica| replica.tick(true));
    soon(futures_util::future::join_all(ticks)).await;
    assert_eq!((world.llm.requests().len(), world.db.written().await.len()), (5, 5));
}

/// The first answer is no plan: its repair is a call like any other, and the attempt is charged without it.
#[tokio::test]
async fn a_repair_is_a_call() {
    for (budget, calls) in [("1", 1), ("2", 2)] {
        let world = World::with(&[(CALLS, budget)]).await;
        create(&world, "alice", 1).await;
        world.llm.behave(Behaviour::Say("nein".into()));
        assert_eq!(world.tick().await.parse_failures, 1, "{budget}");
        assert_eq!(world.llm.requests().len(), calls);
        let counted = "SELECT sum(calls) FROM mana_ai.mission_runs WHERE outcome = 'failed'";
        assert_eq!(world.db.count(counted).await, i64::try_from(calls).unwrap());
        world.tick().await;
        assert_eq!(world.llm.requests().len(), calls, "{budget} and no more");
    }
}

/// A process that died during a call has paid for it; a run of an older version tells only that it called.
#[tokio::test]
async fn lost_attempts_and_those_of_an_older_version_count() {
    let world = World::with(&[(CALLS, "3")]).await;
    let runs = "INSERT INTO mana_ai.mission_runs (user_id, mission_id, slot, attempt, replica, calls, prompt_tokens, outcome, finished_at)
        VALUES ('alice', 'x', now(), 1, gen_random_uuid(), 1, NULL, 'lost', now()),
            ('alice', 'y', now(), 1, gen_random_uuid(), 0, 20, 'planned', now()),
            ('alice', 'z', now(), 1, gen_random_uuid(), 0, NULL, 'skipped', now())";
    world.db.admin.execute(runs).await.unwrap();
    create(&world, "alice", 2).await;
    assert_eq!(world.tick().await.plans_written_back, 1);
}

/// Nobody worked for them: an outage of mana-llm uses no budget up.
#[tokio::test]
async fn refused_calls_that_cost_nothing_leave_the_budget_whole() {
    let world = World::with(&[]).await;
    create(&world, "alice", 1).await;
    // A replica each, whose circuit breaker has seen nothing.
    let tick = async || {
        let waits = "UPDATE mana_ai.mission_schedule SET not_before = '-infinity'";
        world.db.admin.execute(waits).await.unwrap();
        soon(world.replica(&[(CALLS, "1")]).tick(true)).await
    };
    use ManaLlmError as Kind;
    for (requests, kind) in (1..).zip([Kind::RateLimit, Kind::NoHealthyProvider, Kind::WrongKey]) {
        world.llm.behave(Behaviour::manallm_error(kind, "no"));
        let stats = tick().await;
        assert_eq!(world.llm.requests().len(), requests, "{kind:?}: {stats:?}");
    }
    world.llm.behave(Behaviour::Plan);
    assert_eq!(tick().await.plans_written_back, 1);
    assert_eq!(world.db.count("SELECT sum(calls) FROM mana_ai.mission_runs").await, 1);
}

/// A run on demand has no more rights than a tick.
#[tokio::test]
async fn a_run_on_demand_spends_the_same_budget() {
    let world = World::with(&[(CALLS, "1")]).await;
    create(&world, "alice", 1).await;
    world.tick().await;
    let later = mission(now() + 1.hour());
    world.device("alice").create_mission("later", later).await.unwrap();
    let run = world.runner.run_on_demand("alice", "later").await.unwrap();
    assert_eq!(run.outcome.as_deref(), Some("skipped"));
    assert!(run.reason.unwrap().contains(CALLS));
    assert_eq!(world.llm.requests().len(), 1);
}

/// Else all would come back at one moment, and all but one in vain.
#[tokio::test]
async fn waits_are_spread_over_the_times_at_which_calls_become_free() {
    let world = World::with(&[(CALLS, "3")]).await;
    create(&world, "alice", 3).await;
    assert_eq!(world.tick().await.plans_written_back, 3);
    let ages =
        "UPDATE mana_ai.mission_runs SET started_at = now() - right(mission_id, 1)::int * interval '5 hours'";
    world.db.admin.execute(ages).await.unwrap();
    for n in 4..=9 {
        world.device("alice").create_mission(&format!("m{n:02}"), due_mission()).await.unwrap();
    }
    assert_eq!(world.tick().await.plans_written_back, 0);
    let per_time = "SELECT string_agg(missions::text, ' ') FROM (
        SELECT count(*) AS missions FROM mana_ai.mission_schedule WHERE not_before > now() GROUP BY not_before) AS times";
    let per_time: String = sqlx::query_scalar(per_time).fetch_one(&world.db.admin).await.unwrap();
    assert_eq!(per_time, "2 2 2", "six missions, three calls that become free one after the other");
}

/// A call that was counted and not made: the mission that waits for it need not wait for a day.
#[tokio::test]
async fn a_call_that_is_given_back_ends_a_wait() {
    let world = World::with(&[(CALLS, "1"), ("TICK_CONCURRENCY", "1")]).await;
    create(&world, "alice", 2).await;
    let reserved = "INSERT INTO mana_ai.mission_runs (user_id, mission_id, slot, attempt, replica, calls)
        VALUES ('alice', 'x', now(), 1, gen_random_uuid(), 1)";
    world.db.admin.execute(reserved).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 0);
    let waiting = "SELECT count(*) FROM mana_ai.mission_schedule WHERE not_before > now()";
    assert_eq!(world.db.count(waiting).await, 2);
    world.db.admin.execute("DELETE FROM mana_ai.mission_runs WHERE mission_id = 'x'").await.unwrap();
    let one_goes_on = "UPDATE mana_ai.mission_schedule SET not_before = now() WHERE mission_id = 'm01'";
    world.db.admin.execute(one_goes_on).await.unwrap();
    // The model refuses it at no cost, so the call of the first one is given back to the second.
    world.llm.behave(Behaviour::manallm_error(ManaLlmError::RateLimit, "no"));
    world.tick().await;
    let left =
        "SELECT count(*) FROM mana_ai.mission_schedule WHERE mission_id = 'm02' AND not_before > now()";
    assert_eq!(world.db.count(left).await, 0, "the second one may go on");
}

/// What a mission says is read only where there is a call to be made for it.
#[tokio::test]
async fn without_a_call_the_mission_is_not_read() {
    let world = World::with(&[(CALLS, "1")]).await;
    create(&world, "alice", 1).await;
    assert_eq!(world.tick().await.plans_written_back, 1);
    world.device("alice").create_mission("m2", due_mission()).await.unwrap();
    // Without a cadence it is set aside, by whoever reads it. It waits, so nobody looked.
    let no_cadence = "UPDATE sync_changes SET data = data - 'cadence' WHERE record_id = 'm2'";
    world.db.admin.execute(no_cadence).await.unwrap();
    world.tick().await;
    let waits =
        "SELECT count(*) FROM mana_ai.mission_schedule WHERE mission_id = 'm2' AND waits LIKE '%used up%'";
    assert_eq!(world.db.count(waits).await, 1);
}
