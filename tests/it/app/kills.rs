//! Real processes, killed and stopped at every step. The barriers are locks in the database, so the
//! service needs no switches for its tests. `MANA_AI_BIN` names another binary than the one built for
//! the tests.

use std::process::Command;
use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use crate::app::process::{Serving, binary, command};
use crate::faults::random::{Random, seed};
use crate::store::leases::expire_leases;
use crate::support::{World, due_mission, mission, now, soon};

/// The key of the advisory lock that stops whoever comes to a gate.
const GATE: i64 = 4711;

/// A service that ticks often.
pub fn replica(world: &World) -> Command {
    let mut replica = command(world, &["serve"]);
    replica.env("TICK_INTERVAL_MS", "100").env("USER_CONCURRENCY", "1000");
    replica
}

/// Whoever fires the trigger `what` waits until the gate is opened.
pub async fn build_gate(world: &World, what: &str) {
    let function = format!(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END $$"
    );
    world.db.admin.execute(AssertSqlSafe(function)).await.unwrap();
    world.db.admin.execute(AssertSqlSafe(format!("{what} EXECUTE FUNCTION gate()"))).await.unwrap();
}

pub async fn close_gate(world: &World) -> sqlx::pool::PoolConnection<sqlx::Postgres> {
    let mut keeper = world.db.admin.acquire().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)").bind(GATE).execute(&mut *keeper).await.unwrap();
    keeper
}

pub async fn open_gate(keeper: &mut PgConnection) {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(GATE).execute(keeper).await.unwrap();
}

/// Until somebody of this database waits for a lock of this kind.
pub async fn until_waiting(world: &World, kind: &str) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = $1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    soon(async {
        while sqlx::query_scalar::<_, i64>(waiting).bind(kind).fetch_one(&world.db.admin).await.unwrap() == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Until the processes of this database are gone, so that what they had begun is over.
pub async fn until_alone(world: &World) {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'mana-ai'";
    soon(world.db.until(others, |count| count == 0)).await;
}

/// The dead one's mission is planned by the next, and only once.
async fn check_recovery(world: &World, name: &str, already: usize) {
    until_alone(world).await;
    assert_eq!(world.db.written().await.len(), already, "{name}: before the recovery");
    expire_leases(&world.db).await;
    world.llm.behave(Behaviour::Plan);
    let stats = world.tick().await;
    assert!(stats.errors.is_empty(), "{name}: {stats:?}");
    assert_eq!(world.db.written().await.len(), 1, "{name}: planned once");
    assert!(world.llm.requests().len() <= 2, "{name}");
}

/// A device that writes between our fold and our COMMIT: the write is repeated on what is there then.
#[tokio::test]
async fn an_edit_beside_the_write_survives() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    build_gate(
        &world,
        "CREATE TRIGGER gate AFTER INSERT ON sync_changes FOR EACH ROW WHEN (NEW.client_id = 'mana-ai-runner')",
    )
    .await;
    let mut keeper = close_gate(&world).await;
    let tick = world.tick_in_background();
    until_waiting(&world, "advisory").await;
    let theirs = serde_json::json!([{ "id": "from-browser", "plan": [], "overallStatus": "approved" }]);
    device.edit_mission("m1", serde_json::json!({ "iterations": theirs }), now()).await.unwrap();
    open_gate(&mut keeper).await;
    assert_eq!(soon(tick).await.unwrap().plans_written_back, 1);
    let record = device.pull("m1").await.unwrap().unwrap();
    let iterations: Vec<serde_json::Value> = serde_json::from_str(record.fields["iterations"].get()).unwrap();
    assert_eq!((iterations.len(), iterations[0]["id"].as_str()), (2, Some("from-browser")));
    assert_eq!((world.db.written().await.len(), world.llm.requests().len()), (1, 1));
}

#[tokio::test]
async fn killed_after_the_claim() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    build_gate(
        &world,
        "CREATE TRIGGER gate BEFORE UPDATE ON mana_ai.mission_schedule FOR EACH ROW WHEN (NEW.lease_token IS NOT NULL)",
    )
    .await;
    let mut keeper = close_gate(&world).await;
    let serving = Serving::start(replica(&world)).await;
    until_waiting(&world, "advisory").await;
    let mut table = world.db.admin.begin().await.unwrap();
    table.execute("LOCK TABLE sync_changes IN ACCESS EXCLUSIVE MODE").await.unwrap();
    open_gate(&mut keeper).await;
    until_waiting(&world, "relation").await;
    assert_eq!(
        world.db.count("SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NOT NULL").await,
        1
    );
    drop(serving);
    table.rollback().await.unwrap();
    check_recovery(&world, "after the claim", 0).await;
}

#[tokio::test]
async fn killed_during_the_call() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let serving = Serving::start(replica(&world)).await;
    soon(world.llm.arrived(1)).await;
    drop(serving);
    check_recovery(&world, "during the call", 0).await;
}

#[tokio::test]
async fn killed_around_the_write() {
    let ours = "FOR EACH ROW WHEN (NEW.client_id = 'mana-ai-runner')";
    for (name, gate, already) in [
        ("before the write", format!("CREATE TRIGGER gate BEFORE INSERT ON sync_changes {ours}"), 0),
        ("before COMMIT", format!("CREATE TRIGGER gate AFTER INSERT ON sync_changes {ours}"), 0),
        // Fired by the COMMIT, which the server carries out although nobody waits for its reply.
        (
            "after COMMIT",
            format!(
                "CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON sync_changes DEFERRABLE INITIALLY DEFERRED {ours}"
            ),
            1,
        ),
    ] {
        let world = World::new().await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        build_gate(&world, &gate).await;
        let mut keeper = close_gate(&world).await;
        let serving = Serving::start(replica(&world)).await;
        until_waiting(&world, "advisory").await;
        drop(serving);
        open_gate(&mut keeper).await;
        check_recovery(&world, name, already).await;
    }
}

/// Stopped past its lease, another plans the slot, continued: it throws its plan away.
#[tokio::test]
async fn stopped_past_its_lease() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let serving = Serving::start(replica(&world)).await;
    soon(world.llm.arrived(1)).await;
    serving.signal(Signal::SIGSTOP);
    world.llm.behave(Behaviour::Plan);
    expire_leases(&world.db).await;
    assert_eq!(world.tick().await.plans_written_back, 1);
    serving.signal(Signal::SIGCONT);
    serving.signal(Signal::SIGTERM);
    let (code, log) = serving.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("\"outdated\"") || log.contains("\"lease-lost\""), "it says so: {log}");
    assert_eq!(world.db.written().await.len(), 1);
}

#[tokio::test]
async fn five_processes_and_five_hundred_missions() {
    let world = World::new().await;
    for mission in 0..500 {
        let device = world.device(&format!("user-{}", mission % 50));
        device.create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    let mut replicas = Vec::new();
    for _ in 0..5 {
        replicas.push(Serving::start(replica(&world)).await);
    }
    until_planned(&world, 500).await;
    for replica in replicas {
        replica.signal(Signal::SIGTERM);
        assert_eq!(replica.end().await.0, Some(0));
    }
    check_once_each(&world, 500).await;
    assert_eq!(world.llm.requests().len(), 500, "one call each");
}

/// The schedule is emptied again and again while three replicas work: it is derived, nothing is lost.
#[tokio::test]
async fn truncated_under_load() {
    let world = World::new().await;
    world.llm.behave(Behaviour::Late(Duration::from_millis(50)));
    for mission in 0..120 {
        world.device("alice").create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    let replicas =
        [replica(&world), replica(&world), replica(&world)].map(|command| Serving::spawn(command).0);
    for round in 1..=5 {
        soon(world.llm.arrived(round * 20)).await;
        world.db.admin.execute("TRUNCATE mana_ai.mission_schedule").await.unwrap();
    }
    until_planned(&world, 120).await;
    drop(replicas);
    until_alone(&world).await;
    check_once_each(&world, 120).await;
}

pub async fn until_planned(world: &World, missions: i64) {
    let planned = "SELECT count(DISTINCT record_id) FROM sync_changes WHERE client_id = 'mana-ai-runner'";
    let all = async { while world.db.count(planned).await < missions {} };
    tokio::time::timeout(Duration::from_secs(120), all)
        .await
        .expect("every slot is planned once a replica lives");
}

pub async fn check_once_each(world: &World, missions: i64) {
    let rows = "SELECT count(*) FROM sync_changes WHERE client_id = 'mana-ai-runner'";
    assert_eq!(world.db.count(rows).await, missions, "at most one plan per slot");
}

/// Minutes apart by their own clocks, at one by the database's: nothing early, nothing twice.
#[tokio::test]
async fn a_clock_ten_minutes_off() {
    let world = World::new().await;
    let dir = tempfile::tempdir().unwrap();
    let device = world.device("alice");
    device.create_mission("in-five-minutes", mission(now() + jiff::Span::new().minutes(5))).await.unwrap();
    for mission in 0..40 {
        device.create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    let mut fast = replica(&world);
    fast.env("LD_PRELOAD", skewed_clock(dir.path()));
    let (fast, straight) = (Serving::start(fast).await, Serving::start(replica(&world)).await);
    until_planned(&world, 40).await;
    for (replica, minutes) in [(fast, 10), (straight, 0)] {
        replica.signal(Signal::SIGTERM);
        let (code, log) = replica.end().await;
        assert_eq!(code, Some(0), "{log}");
        let began: jiff::Timestamp = log.split_whitespace().next().unwrap().parse().unwrap();
        let ahead = began.duration_since(now()).as_mins();
        assert!((ahead - minutes).abs() <= 2, "its own clock is {ahead} minutes ahead");
    }
    check_once_each(&world, 40).await;
    let ahead = "SELECT count(*) FROM sync_changes WHERE client_id = 'mana-ai-runner'
        AND (field_timestamps ->> 'iterations')::timestamptz > clock_timestamp()";
    assert_eq!(world.db.count(ahead).await, 0, "our timestamps are the database's");
}

/// A library that sets the wall clock of a process ten minutes ahead.
fn skewed_clock(dir: &std::path::Path) -> std::path::PathBuf {
    let code = "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
        int clock_gettime(clockid_t id, struct timespec *at) {\n\
        long failed = syscall(SYS_clock_gettime, id, at);\n\
        if (!failed && id == CLOCK_REALTIME) at->tv_sec += 600;\n return (int) failed; }\n";
    library(dir, code)
}

/// For `LD_PRELOAD`.
pub fn library(dir: &std::path::Path, code: &str) -> std::path::PathBuf {
    let (source, library) = (dir.join("preloaded.c"), dir.join("preloaded.so"));
    std::fs::write(&source, code).unwrap();
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(cc.success());
    library
}

/// Two hundred kills at random moments under load.
#[tokio::test]
#[ignore = "takes a minute or two: cargo test --test it -- --ignored"]
async fn two_hundred_random_kills() {
    const KILLS: usize = 200;
    const MISSIONS_PER_KILL: usize = 10;
    println!("binary {}", binary().display());
    let mut random = Random::new(seed());
    let world = World::new().await;
    world.llm.behave(Behaviour::Late(Duration::from_millis(20)));
    let spawn = || {
        let mut replica = replica(&world);
        replica.env("LEASE_MS", "1000").env("MANA_LLM_TIMEOUT_MS", "900").env("RUST_LOG", "warn");
        Serving::spawn(replica).0
    };
    let mut replicas = [spawn(), spawn(), spawn()];
    for kill in 0..KILLS {
        for mission in 0..MISSIONS_PER_KILL {
            let device = world.device(&format!("user-{mission}"));
            device.create_mission(&format!("m{kill}-{mission}"), due_mission()).await.unwrap();
        }
        tokio::time::sleep(random.ms(0..250)).await;
        if kill % 20 == 0 {
            world.db.admin.execute("TRUNCATE mana_ai.mission_schedule").await.unwrap();
        }
        replicas[random.index(3)] = spawn();
    }
    let all = i64::try_from(KILLS * MISSIONS_PER_KILL).unwrap();
    until_planned(&world, all).await;
    drop(replicas);
    until_alone(&world).await;
    check_once_each(&world, all).await;
}
