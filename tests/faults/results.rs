//! What becomes of an answer that the database cannot take at once. The wire of the service is frozen, the
//! tests' own is not.

use mana_ai::demo::llm::Behaviour;
use tokio::task::JoinHandle;

use super::checks::check_calls;
use super::proxy::{Mode, Proxy};
use crate::store::leases::expire_leases;
use crate::support::{TestDb, World, due_mission, soon};

async fn behind_a_proxy() -> (World, Proxy) {
    let mut db = TestDb::ready().await;
    let proxy = Proxy::before(&db.url).await;
    db.url.clone_from(&proxy.url);
    (World::on(db, &[("TICK_CONCURRENCY", "1")]).await, proxy)
}

/// One mission, whose call is held while the wire freezes.
async fn thinking() -> (World, Proxy, JoinHandle<mana_ai::runner::stats::TickStats>) {
    let (world, proxy) = behind_a_proxy().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    proxy.set(Mode::Freeze).await;
    (world, proxy, tick)
}

async fn outcomes(world: &World) -> Vec<String> {
    let outcomes = "SELECT coalesce(outcome, 'running') FROM mana_ai.mission_runs ORDER BY id";
    sqlx::query_scalar(outcomes).fetch_all(&world.db.admin).await.unwrap()
}

/// The longest wait for a database that is silent from the start: five seconds, however much is due.
#[tokio::test]
async fn a_silent_database_costs_one_wait() {
    let (world, proxy) = behind_a_proxy().await;
    for mission in 0..20 {
        let device = world.device(&format!("user-{mission}"));
        device.create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    proxy.set(Mode::Freeze).await;
    assert_eq!(world.tick().await.errors, ["database: no answer within 5 s"]);
    assert!(world.llm.requests().is_empty());
    proxy.set(Mode::Pass).await;
    assert_eq!(world.tick().await.plans_written_back, 20);
}

/// Nobody else took the mission, but the lease is over: whoever takes it next plans it, here the same tick.
#[tokio::test]
async fn it_is_thrown_away_once_its_lease_is_over() {
    let (world, proxy, tick) = thinking().await;
    expire_leases(&world.db).await;
    world.llm.behave(Behaviour::Plan);
    proxy.set(Mode::Pass).await;
    let stats = soon(tick).await.unwrap();
    assert_eq!((stats.plans_produced, stats.plans_written_back, stats.leases_lost), (2, 1, 1), "{stats:?}");
    assert_eq!(world.db.written().await.len(), 1);
    assert_eq!(outcomes(&world).await, ["lease-lost", "planned"]);
    check_calls(&world).await;
}

/// A repair is a call like the first: not made while nothing could be stored.
#[tokio::test]
async fn no_repair_while_the_database_is_gone() {
    let (world, proxy, tick) = thinking().await;
    proxy.set(Mode::Cut).await;
    world.llm.behave(Behaviour::Say("nein".into()));
    soon(world.llm.arrived(1)).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(world.llm.requests().len(), 1);
    world.llm.behave(Behaviour::Plan);
    proxy.set(Mode::Pass).await;
    soon(tick).await.unwrap();
    world.tick().await;
    assert_eq!(world.db.written().await.len(), 1);
    assert_eq!(outcomes(&world).await, ["database", "planned"], "not charged");
    check_calls(&world).await;
}
