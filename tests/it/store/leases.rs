//! Leases between replicas: who is late writes nothing, and what was done is known to be done.

use mana_ai::app;
use mana_ai::demo::llm::{Behaviour, StandIn};

use crate::faults::proxy::Proxy;
use crate::support::{TestDb, World, config, due_mission, soon};

/// As if `LEASE_MS` had passed without a sign of life.
pub async fn expire_leases(db: &TestDb) {
    sqlx::query("UPDATE mana_ai.mission_schedule SET lease_until = now() WHERE lease_until IS NOT NULL")
        .execute(&db.admin)
        .await
        .unwrap();
}

/// The first worker's lease was taken by a second one, who is still thinking: the first must not write,
/// although the slot still stands.
#[tokio::test]
async fn a_late_worker_writes_nothing() {
    // With one place it does not claim again while it waits for the model.
    let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let late = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    expire_leases(&world.db).await;

    let other_llm = StandIn::start(Behaviour::Hold).await.unwrap();
    let (_, other) = app::runner(&config(&world.db.url, other_llm.url(), &[]), world.stop.clone()).unwrap();
    let second = tokio::spawn(async move { other.tick(true).await });
    soon(other_llm.arrived(1)).await;

    world.llm.behave(Behaviour::Plan);
    let late = soon(late).await.unwrap();
    assert_eq!((late.plans_produced, late.plans_written_back, late.leases_lost), (1, 0, 1), "{late:?}");
    assert!(world.db.written().await.is_empty());
    other_llm.behave(Behaviour::Plan);
    assert_eq!(soon(second).await.unwrap().plans_written_back, 1);
    assert_eq!(world.db.written().await.len(), 1);
}

/// The COMMIT went through, its reply did not: the repeated write finds the iteration by its derived id.
#[tokio::test]
async fn a_lost_commit_reply_is_recognised() {
    // With one place the next COMMIT after the call is that of the write.
    let world = World::new().await;
    let proxy = Proxy::before(&world.db.url).await;
    let (_, runner) =
        app::runner(&config(&proxy.url, world.llm.url(), &[("TICK_CONCURRENCY", "1")]), world.stop.clone())
            .unwrap();
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = tokio::spawn(async move { runner.tick(true).await });
    soon(world.llm.arrived(1)).await;
    proxy.lose_next_commit();
    world.llm.behave(Behaviour::Plan);
    let stats = soon(tick).await.unwrap();
    assert!(proxy.has_struck());
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{stats:?}");
    assert_eq!((world.db.written().await.len(), world.llm.requests().len()), (1, 1));
    assert_eq!(world.tick().await.due_mission_count, 0);
}

/// The lease is renewed while the model thinks, so a slow answer is no lost one.
#[tokio::test]
async fn a_lease_is_renewed_during_the_call() {
    let world = World::with(&[("LEASE_MS", "9000"), ("MANA_LLM_TIMEOUT_MS", "8900")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    let until = "SELECT (extract(epoch FROM lease_until) * 1000)::bigint FROM mana_ai.mission_schedule";
    let first = world.db.count(until).await;
    soon(world.db.until(until, |now| now != first)).await;
    world.llm.behave(Behaviour::Plan);
    assert_eq!(soon(tick).await.unwrap().plans_written_back, 1);
}
