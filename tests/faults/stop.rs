//! The end of a process: in order, by the deadline, or at once; of the service and of a single tick. Also with
//! a model or a database that answers nobody.

use std::time::{Duration, Instant};

use mana_ai::demo::llm::Behaviour;
use nix::sys::signal::Signal;

use super::outage::{Outage, until_ready_is};
use super::stage::Stage;
use crate::app::process::{Serving, command};
use crate::support::{World, due_mission, soon};

/// What a test allows beyond the deadline. All waits that a stop might be held up by are longer.
const SLACK: Duration = Duration::from_secs(4);

/// It waits for the model with one mission.
async fn waiting(world: &World, args: &str, drain_ms: &str) -> Serving {
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let mut command = command(world, &[args]);
    command.env("DRAIN_TIMEOUT_MS", drain_ms);
    let process = Serving::spawn(command).0;
    soon(world.llm.arrived(1)).await;
    process
}

/// Exit code and log of a process that has to be gone by then.
async fn end_within(process: Serving, limit: Duration) -> (Option<i32>, String) {
    let told = Instant::now();
    let (code, log) = process.end().await;
    assert!(told.elapsed() < limit + SLACK, "{:?}: {log}", told.elapsed());
    (code, log)
}

async fn given_back(world: &World) -> bool {
    let lease = "SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NULL AND attempts = 0";
    let run = "SELECT count(*) FROM mana_ai.mission_runs WHERE outcome = 'interrupted'";
    (world.db.count(lease).await, world.db.count(run).await) == (1, 1)
}

#[tokio::test]
async fn what_runs_is_finished() {
    tokio::join!(finishes("serve"), finishes("tick"));
}

async fn finishes(args: &str) {
    let world = World::new().await;
    world.llm.behave(Behaviour::Hold);
    let process = waiting(&world, args, "20000").await;
    process.signal(Signal::SIGTERM);
    world.device("alice").create_mission("later", due_mission()).await.unwrap();
    // Told, but not yet at its end: it would stop at once if it did not wait for the model.
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.llm.behave(Behaviour::Plan);
    let (code, log) = process.end().await;
    assert_eq!((code, world.db.written().await.len()), (Some(0), 1), "{args}: {log}");
    assert_eq!(world.llm.requests().len(), 1, "{args}: nothing new is begun");
}

#[tokio::test]
async fn a_hung_model_is_left() {
    tokio::join!(leaves_the_model("serve"), leaves_the_model("tick"));
}

async fn leaves_the_model(args: &str) {
    let world = World::new().await;
    world.llm.behave(Behaviour::Hang);
    let process = waiting(&world, args, "500").await;
    process.signal(Signal::SIGTERM);
    let (code, log) = end_within(process, Duration::from_millis(500)).await;
    assert_eq!(code, Some(1), "{args}: {log}");
    assert!(world.db.written().await.is_empty());
    assert!(given_back(&world).await, "{args}: {log}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    tokio::join!(ends_at_once("serve"), ends_at_once("tick"));
}

async fn ends_at_once(args: &str) {
    let world = World::new().await;
    world.llm.behave(Behaviour::Hang);
    let process = waiting(&world, args, "60000").await;
    process.signal(Signal::SIGTERM);
    // Signals do not queue: the first has to have been taken.
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal(Signal::SIGTERM);
    let (code, log) = end_within(process, Duration::ZERO).await;
    assert_eq!(code, Some(1), "{args}: {log}");
}

/// It holds a result that it cannot write: the deadline ends it, and the next start plans the mission.
#[tokio::test]
async fn a_database_that_is_gone_holds_nobody_up() {
    tokio::join!(
        stops_without(Outage::Stopped, "serve"),
        stops_without(Outage::Frozen, "serve"),
        stops_without(Outage::Killed, "tick"),
        stops_without(Outage::Frozen, "tick"),
    );
}

async fn stops_without(outage: Outage, args: &str) {
    let stage = Stage::new(&[]).await;
    let world = &stage.world;
    world.llm.behave(Behaviour::Hold);
    let process = waiting(world, args, "1000").await;
    stage.take_database(outage).await;
    world.llm.behave(Behaviour::Plan);
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal(Signal::SIGTERM);
    let (code, log) = end_within(process, Duration::from_secs(1)).await;
    assert_eq!(code, Some(1), "{outage:?} {args}: {log}");
    stage.give_database_back(outage).await;
    crate::store::leases::expire_leases(&world.db).await;
    assert!(soon(world.runner.tick(true)).await.errors.is_empty());
    assert_eq!(world.db.written().await.len(), 1, "{outage:?} {args}");
}

/// Nothing is at work, so nothing has to be waited for: that is a clean end.
#[tokio::test]
async fn an_idle_one_ends_in_order_without_a_database() {
    tokio::join!(ends_idle(Outage::Stopped), ends_idle(Outage::Frozen));
}

async fn ends_idle(outage: Outage) {
    let mut stage = Stage::new(&[("TICK_ENABLED", "false")]).await;
    stage.start(1).await;
    let replica = stage.replicas.remove(0);
    until_ready_is(200, &replica).await;
    stage.take_database(outage).await;
    replica.signal(Signal::SIGTERM);
    let (code, log) = end_within(replica, Duration::ZERO).await;
    assert_eq!(code, Some(0), "{outage:?}: {log}");
}
