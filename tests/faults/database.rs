//! The database goes away in five ways, at three moments each, and comes back. Real processes on a Postgres
//! of their own.

use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use super::checks::{UsersRows, check_calls, check_invariants, connections};
use super::outage::{Outage, lines, until_ready_is};
use super::stage::Stage;
use crate::support::{due_mission, soon};

/// Long enough for several ticks.
const SEVERAL_TICKS: Duration = Duration::from_millis(700);
/// What is said of each outage, and of its end.
const GONE: &str = "the database is gone";
const BACK: &str = "the database is back";

async fn outlives(outage: Outage) {
    let mut stage = Stage::new(&[("TICK_INTERVAL_MS", "200")]).await;
    stage.start(1).await;
    let before = UsersRows::of(&stage.world.db).await;
    while_idle(&stage, outage).await;
    while_claims_run(&stage, outage).await;
    while_the_model_thinks(&stage, outage).await;
    check_invariants(&stage.world, &before).await;
    check_calls(&stage.world).await;
    assert!(connections(&stage.world.db).await <= 10, "no more than the pool holds");
    let replica = stage.replicas.remove(0);
    replica.signal(Signal::SIGTERM);
    let (code, log) = replica.end().await;
    assert_eq!(code, Some(0), "{log}");
    let times = match outage {
        Outage::Stopped | Outage::Killed => 3..=3,
        // What was open when it fell silent waits for 30 s, and may go on before that.
        Outage::Frozen | Outage::HalfOpen => 2..=3,
        // It answers: the tick says why it ends.
        Outage::ReadOnly => 0..=0,
    };
    assert!(times.contains(&lines(&log, GONE)), "once per outage: {log}");
    assert_eq!(lines(&log, GONE), lines(&log, BACK), "{log}");
    // The span of whichever mission noticed the outage stands before that one line.
    let of_missions =
        log.lines().filter(|line| line.contains("mana_ai::attempt") && line.contains("mission_id="));
    assert_eq!(of_missions.count(), lines(&log, "mission done"), "nothing per mission: {log}");
}

/// The outage is noticed: one more line than there are of its end. A transaction that was open when the
/// server fell silent is given 30 s, which is more than `soon`.
async fn until_noticed(stage: &Stage, outage: Outage) {
    let replica = &stage.replicas[0];
    let words = if outage == Outage::ReadOnly { "it is read-only" } else { GONE };
    let times = lines(&replica.log(), BACK) + 1;
    let noticed = async {
        while lines(&replica.log(), words) < times {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_mins(1), noticed)
        .await
        .unwrap_or_else(|_| panic!("{outage:?}: {}", replica.log()));
}

async fn create(stage: &Stage, kind: &str, missions: usize) {
    for mission in 0..missions {
        let device = stage.world.device(&format!("{kind}-{mission}"));
        device.create_mission(&format!("{kind}-{mission}"), due_mission()).await.unwrap();
    }
}

/// The service is back by itself: nobody restarts it.
async fn until_all_planned(stage: &Stage) {
    let open = "SELECT count(DISTINCT record_id) - count(DISTINCT record_id) FILTER (WHERE client_id = 'mana-ai-runner')
        FROM sync_changes";
    soon(stage.world.db.until(open, |count| count == 0)).await;
}

async fn while_idle(stage: &Stage, outage: Outage) {
    create(stage, "before", 1).await;
    until_all_planned(stage).await;
    stage.take_database(outage).await;
    until_ready_is(503, &stage.replicas[0]).await;
    until_noticed(stage, outage).await;
    stage.give_database_back(outage).await;
    until_ready_is(200, &stage.replicas[0]).await;
    create(stage, "after", 1).await;
    until_all_planned(stage).await;
}

/// Most of them are still due when it goes, and nobody asks the model for them.
async fn while_claims_run(stage: &Stage, outage: Outage) {
    let before = stage.world.llm.requests().len();
    stage.world.llm.behave(Behaviour::Late(Duration::from_millis(50)));
    create(stage, "claimed", 60).await;
    soon(stage.world.llm.arrived(before + 10)).await;
    stage.take_database(outage).await;
    until_ready_is(503, &stage.replicas[0]).await;
    // Who had read its mission a moment before may still be on its way to the model.
    sleep(SEVERAL_TICKS).await;
    let calls = stage.world.llm.requests().len();
    assert!(calls < before + 60, "it went in the middle");
    sleep(SEVERAL_TICKS).await;
    assert_eq!(stage.world.llm.requests().len(), calls, "no call whose result could not be stored");
    stage.give_database_back(outage).await;
    until_all_planned(stage).await;
}

/// The answer comes while the database is gone: it is kept, and written once.
async fn while_the_model_thinks(stage: &Stage, outage: Outage) {
    let before = stage.world.llm.requests().len();
    stage.world.llm.behave(Behaviour::Hold);
    create(stage, "thinking", 1).await;
    soon(stage.world.llm.arrived(before + 1)).await;
    stage.take_database(outage).await;
    stage.world.llm.behave(Behaviour::Plan);
    until_noticed(stage, outage).await;
    sleep(SEVERAL_TICKS).await;
    stage.give_database_back(outage).await;
    until_all_planned(stage).await;
    assert_eq!(stage.world.llm.requests().len(), before + 1, "its answer was not thrown away");
    let runs = "SELECT count(*) FROM mana_ai.mission_runs WHERE mission_id LIKE 'thinking%'";
    assert_eq!(stage.world.db.count(runs).await, 1, "in one attempt");
}

/// At once, each on a server of its own: most of the time is spent waiting.
#[tokio::test]
async fn every_outage_is_outlived() {
    tokio::join!(
        outlives(Outage::Stopped),
        outlives(Outage::Killed),
        outlives(Outage::Frozen),
        outlives(Outage::ReadOnly),
        outlives(Outage::HalfOpen),
    );
}
