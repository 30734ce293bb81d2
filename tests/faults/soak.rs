//! Three replicas under faults from a seed, and at the end the promise: every slot planned, failed visibly, or
//! set aside with a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mana_ai::config;
use mana_ai::demo::llm::Behaviour;
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{sleep, timeout};

use super::checks::{UsersRows, check_calls, check_invariants, connections};
use super::plan::{Fault, plan_of_faults};
use super::processes::state;
use super::random::{Random, seed};
use super::stage::Stage;
use crate::support::{World, due_mission, now};

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
    let (created, edits) = devices.stop().await;
    let settled = settle(&stage.world).await;
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

/// Neither written by us nor set aside.
const OPEN: &str = "SELECT count(*) FROM (SELECT DISTINCT user_id, record_id AS mission_id FROM sync_changes) AS missions
    LEFT JOIN mana_ai.mission_schedule USING (user_id, mission_id)
    WHERE quarantined IS NOT TRUE AND NOT EXISTS (SELECT FROM sync_changes AS ours WHERE client_id = 'mana-ai-runner'
        AND (ours.user_id, ours.record_id) = (missions.user_id, missions.mission_id))";

async fn settle(world: &World) -> Duration {
    world.llm.behave(Behaviour::Plan);
    let began = Instant::now();
    if timeout(SETTLES_WITHIN, world.db.until(OPEN, |open| open == 0)).await.is_err() {
        summarize(world).await;
        panic!("{} slots are neither planned nor failed nor set aside", world.db.count(OPEN).await);
    }
    began.elapsed()
}

async fn check_end(stage: &Stage, created: usize, truncated: bool) {
    let db = &stage.world.db;
    let missions = db.count("SELECT count(DISTINCT (user_id, record_id)) FROM sync_changes").await;
    assert!(missions >= i64::try_from(created).unwrap(), "what a device believes to be stored is there");
    check_calls(&stage.world).await;
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
            FROM sync_changes WHERE client_id = 'mana-ai-runner' GROUP BY data -> 'iterations' -> -1 ->> 'overallStatus'
        UNION ALL SELECT 'set aside ' || count(*) FROM mana_ai.mission_schedule WHERE quarantined
        ORDER BY 1";
    let lines: Vec<String> = sqlx::query_scalar(sql).fetch_all(&world.db.admin).await.unwrap();
    println!("{} calls; {}", world.llm.requests().len(), lines.join(", "));
}

/// They write missions all along, repeat what the database did not confirm, and edit some.
struct Devices {
    stop: Arc<AtomicBool>,
    edits: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<usize>,
}

impl Devices {
    async fn start(world: &World, seed: u64) -> Self {
        let direct = world.db.admin.connect_options().as_ref().clone();
        let pool =
            PgPoolOptions::new().acquire_timeout(Duration::from_secs(1)).connect_with(direct).await.unwrap();
        let (stop, edits) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, edited, store) = (Arc::clone(&stop), Arc::clone(&edits), world.store.clone());
        let task = tokio::spawn(async move {
            let mut random = Random::new(!seed);
            let mut created = 0;
            while !stopped.load(Ordering::Relaxed) {
                sleep(random.ms(0..250)).await;
                write(&pool, &store, created).await;
                created += 1;
                if random.up_to(4) == 0 {
                    let device = World::device_on(&pool, &store, "user-0");
                    let old = format!("m{}", random.index(created) / 8 * 8);
                    let edit = device.edit_mission(&old, json!({ "title": "anders" }), now());
                    let done = timeout(Duration::from_secs(2), edit).await;
                    edited.fetch_add(usize::from(matches!(done, Ok(Ok(())))), Ordering::Relaxed);
                }
            }
            created
        });
        Self { stop, edits, task }
    }

    async fn stop(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        (self.task.await.unwrap(), self.edits.load(Ordering::Relaxed))
    }
}

/// Until it is confirmed: the same row twice does no harm.
async fn write(pool: &PgPool, store: &mana_ai::store::Store, mission: usize) {
    let device = World::device_on(pool, store, &format!("user-{}", mission % 8));
    let (id, data) = (format!("m{mission}"), due_mission());
    while !matches!(
        timeout(Duration::from_secs(2), device.create_mission(&id, data.clone())).await,
        Ok(Ok(()))
    ) {
        sleep(Duration::from_millis(50)).await;
    }
}
