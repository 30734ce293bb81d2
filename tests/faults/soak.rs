//! Three replicas under faults from a seed, and at the end the promise: every slot planned, failed visibly, or
//! set aside with a reason, and no plan and no feedback lost to an old list of a device.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mana_ai::config;
use mana_ai::demo::llm::Behaviour;
use tokio::time::{sleep, timeout};

use super::checks::{UsersRows, check_calls, check_invariants, connections};
use super::devices::{Crowd, Devices};
use super::plan::{Fault, plan_of_faults};
use super::processes::state;
use super::random::seed;
use super::stage::Stage;
use crate::support::World;

const REPLICAS: usize = 3;
/// Once all faults are over.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);
/// Short, so that much happens.
const VARS: [(&str, &str); 7] = [
    ("LEASE_MS", "1500"),
    ("MANA_LLM_TIMEOUT_MS", "1000"),
    ("RETRY_MIN_MS", "50"),
    ("RETRY_MAX_MS", "500"),
    ("BREAKER_PAUSE_MS", "300"),
    ("USER_CONCURRENCY", "4"),
    ("RUST_LOG", "warn,mana_ai::app=info"),
];

#[tokio::test]
#[ignore = "ten minutes, or as SOAK_SECONDS says: cargo test --test it -- --ignored faults::soak --nocapture"]
async fn every_slot_ends_whatever_happens() {
    let seconds = config::var("SOAK_SECONDS").map_or(600, |seconds| seconds.parse().unwrap());
    let seed = seed();
    let mut stage = Stage::new(&VARS).await;
    stage.start(REPLICAS).await;
    let devices = Devices::start(&stage.world, seed).await;
    let mut faults = BTreeMap::new();
    let mut snapshots = Vec::new();
    let began = Instant::now();
    for (pause, fault) in plan_of_faults(seed, 100_000, REPLICAS) {
        if began.elapsed() >= Duration::from_secs(seconds) {
            break;
        }
        sleep(pause).await;
        println!("{:7.1} s {fault:?}", began.elapsed().as_secs_f64());
        stage.inflict(&fault).await;
        *faults.entry(kind(&fault)).or_insert(0) += 1;
        if snapshots.len() * 60 <= usize::try_from(began.elapsed().as_secs()).unwrap() {
            snapshots.push(UsersRows::of(&stage.world.db).await);
        }
    }
    let mut devices = devices.stop().await;
    stage.world.llm.behave(Behaviour::Plan);
    devices.act_undisturbed().await;
    let (created, edits) = (devices.created, devices.edits);
    let settled = settle(&stage.world, &mut devices).await;
    println!("seed {seed}: {faults:?}; settled after {settled:?}; {created} missions, {edits} edits");
    summarize(&stage.world).await;
    check_end(&stage, created, faults.contains_key("TruncateSchedule")).await;
    for before in snapshots {
        check_invariants(&stage.world, &before).await;
    }
}

fn kind(fault: &Fault) -> String {
    let text = format!("{fault:?}");
    text.split(['(', ' ']).next().unwrap().to_owned()
}

/// Neither planned, by us or by a tab, nor set aside.
const OPEN: &str =
    "SELECT count(*) FROM (SELECT DISTINCT user_id, record_id AS mission_id FROM sync_changes) AS missions
    LEFT JOIN mana_ai.mission_schedule USING (user_id, mission_id)
    WHERE quarantined IS NOT TRUE AND NOT EXISTS (SELECT FROM sync_changes AS written
        WHERE (client_id = 'mana-ai-runner' OR data @> '{\"iterations\": [{\"source\": \"browser\"}]}')
        AND (written.user_id, written.record_id) = (missions.user_id, missions.mission_id))";
/// Missions that a device wrote after us and at which nobody has looked since, and those that are queued.
const QUEUED: &str = "WITH rows AS (
        SELECT user_id, record_id AS mission_id, client_id, row_number() OVER log AS number,
            bool_or(client_id = 'mana-ai-runner') OVER log AS after_ours
        FROM sync_changes WINDOW log AS (PARTITION BY user_id, record_id ORDER BY created_at, id))
    SELECT count(*) FROM (SELECT user_id, mission_id, max(number) AS last FROM rows
        WHERE client_id <> 'mana-ai-runner' AND after_ours GROUP BY user_id, mission_id) AS edited
    FULL JOIN mana_ai.mission_healing USING (user_id, mission_id)
    WHERE coalesce(checked_count, 0) < greatest(last, change_count)";
/// Under a lease, due, or soon tried again.
const AT_WORK: &str = "SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NOT NULL
    OR next_run_at <= now() AND not_before < now() + interval '1 minute'";

/// All faults are over: the devices come back, and the ticks go on until nothing is left to do.
async fn settle(world: &World, devices: &mut Crowd) -> Duration {
    world.llm.behave(Behaviour::Plan);
    let began = Instant::now();
    until_none(world, "slots that are neither planned nor failed nor set aside", OPEN).await;
    for _ in 0..2 {
        until_none(world, "missions to heal", QUEUED).await;
        until_none(world, "missions that are due or at work", AT_WORK).await;
        // A tab that overwrote what we restored three times in a row is left alone for an hour.
        sqlx::query("UPDATE mana_ai.mission_healing SET healed_at = healed_at - interval '1 hour'")
            .execute(&world.db.admin)
            .await
            .unwrap();
        devices.come_back().await;
    }
    until_none(world, "missions to heal", QUEUED).await;
    until_none(world, "missions that are due or at work", AT_WORK).await;
    began.elapsed()
}

async fn until_none(world: &World, what: &str, sql: &'static str) {
    if timeout(SETTLES_WITHIN, world.db.until(sql, |count| count == 0)).await.is_err() {
        summarize(world).await;
        panic!("{} {what} are left", world.db.count(sql).await);
    }
}

async fn check_end(stage: &Stage, created: usize, truncated: bool) {
    let db = &stage.world.db;
    let missions = db.count("SELECT count(DISTINCT (user_id, record_id)) FROM sync_changes").await;
    assert!(missions >= i64::try_from(created).unwrap(), "what a device believes to be stored is there");
    check_calls(&stage.world).await;
    let restored = "SELECT coalesce(sum(healing_rows), 0)::bigint FROM mana_ai.mission_healing";
    assert!(db.count(restored).await > 0, "no list was old enough to hide anything: this shows nothing");
    let held = "SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NOT NULL";
    assert_eq!(db.count(held).await, 0, "no lease is left");
    // A schedule that was emptied forgets whose runs are open: they are closed after two days.
    let left = db.count("SELECT count(*) FROM mana_ai.mission_runs WHERE outcome IS NULL").await;
    assert!(left == 0 || truncated, "{left} runs are left open");
    let reasons = "SELECT count(*) FROM mana_ai.mission_schedule
        WHERE quarantined AND waits NOT LIKE '% attempts in a row ended with their process%'";
    assert_eq!(db.count(reasons).await, 0, "nothing else is a reason to set one of these aside");
    assert!(connections(db).await <= 10 * i64::try_from(REPLICAS + 1).unwrap());
    for replica in &stage.replicas {
        let (state, _) = state(i32::try_from(replica.pid()).unwrap()).unwrap();
        assert_ne!(state, 'Z', "it has ended by itself: {}", replica.log());
    }
}

async fn summarize(world: &World) {
    let sql = "SELECT coalesce(outcome, 'open') || ' ' || count(*) FROM mana_ai.mission_runs GROUP BY outcome
        UNION ALL SELECT 'rows with ' || (data -> 'iterations' -> -1 ->> 'overallStatus') || ' ' || count(*)
            FROM sync_changes WHERE client_id = 'mana-ai-runner' AND data ? 'nextRunAt' GROUP BY data -> 'iterations' -> -1 ->> 'overallStatus'
        UNION ALL SELECT 'healing: ' || coalesce(problem, 'rows') || ' ' || sum(healing_rows) || ' of ' || count(*)
            FROM mana_ai.mission_healing GROUP BY problem
        UNION ALL SELECT 'set aside ' || count(*) FROM mana_ai.mission_schedule WHERE quarantined
        ORDER BY 1";
    let lines: Vec<String> = sqlx::query_scalar(sql).fetch_all(&world.db.admin).await.unwrap();
    println!("{} calls; {}", world.llm.requests().len(), lines.join(", "));
}
