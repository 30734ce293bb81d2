//! mana-llm hangs, drips, floods, lies and breaks off, then recovers: everything is planned in the end, at no
//! more calls than the ledger has attempts, and the process has what it had before.

use std::time::Duration;

use mana_ai::demo::llm::Behaviour;

use super::checks::{UsersRows, check_calls, check_invariants, connections};
use super::processes::{Footprint, check_back, peak_kib};
use crate::app::kills::{check_once_each, replica, until_planned};
use crate::app::process::Serving;
use crate::support::{World, due_mission, soon};

const AT_ONCE: usize = 8;

/// A service that does not wait long for anything, and has as many connections as it will ever have.
async fn service(world: &World, llm_timeout_ms: &str) -> Serving {
    let mut command = replica(world);
    let waits = [("RETRY_MIN_MS", "20"), ("RETRY_MAX_MS", "100"), ("BREAKER_PAUSE_MS", "100")];
    command.envs(waits).env("MANA_LLM_TIMEOUT_MS", llm_timeout_ms).env("LEASE_MS", "20000");
    // However slow this machine is: none gives up before the model recovers.
    command.env("DATABASE_POOL_SIZE", "3").env("MAX_ATTEMPTS", "100");
    // Before it starts: what its first tick does not see, it would not claim while it waits for the model.
    world.llm.behave(Behaviour::Hold);
    create(world, "first").await;
    let serving = Serving::start(command).await;
    soon(world.llm.arrived(AT_ONCE)).await;
    world.llm.behave(Behaviour::Plan);
    until_planned(world, 8).await;
    serving
}

async fn create(world: &World, kind: &str) {
    for mission in 0..AT_ONCE {
        let id = format!("{kind}-{mission}");
        world.device(&id).create_mission(&id, due_mission()).await.unwrap();
    }
}

fn raw(status: u16, header: Option<(&'static str, &str)>, body: &str) -> Behaviour {
    let headers = header.map(|(name, value)| (name, value.to_owned())).into_iter().collect();
    Behaviour::Raw(status, headers, body.into())
}

#[tokio::test]
async fn every_answer_is_outlived() {
    let world = World::new().await;
    let serving = service(&world, "1000").await;
    let (before, rows) = (Footprint::of(serving.pid()), UsersRows::of(&world.db).await);
    let bad = [
        Behaviour::Hang,
        Behaviour::Drip(Duration::from_millis(20)),
        Behaviour::Flood,
        Behaviour::Break,
        raw(200, Some(("content-type", "text/html")), "<html>"),
        raw(500, None, "no"),
        raw(503, None, "{}"),
        raw(429, Some(("retry-after", "1")), ""),
        Behaviour::Say("Das weiß ich nicht.".into()),
    ];
    let mut missions = 8;
    for (kind, behaviour) in bad.into_iter().enumerate() {
        let calls = world.llm.requests().len();
        world.llm.behave(behaviour.clone());
        create(&world, &kind.to_string()).await;
        // After the first 429 nobody asks for a while.
        let asked = if matches!(behaviour, Behaviour::Raw(429, ..)) { 1 } else { AT_ONCE };
        soon(world.llm.arrived(calls + asked)).await;
        world.llm.behave(Behaviour::Plan);
        missions += 8;
        until_planned(&world, missions).await;
    }
    check_once_each(&world, missions).await;
    let failed =
        "SELECT count(*) FROM sync_changes WHERE data -> 'iterations' -> -1 ->> 'overallStatus' = 'failed'";
    assert_eq!(world.db.count(failed).await, 0, "it recovered in time");
    check_calls(&world).await;
    check_invariants(&world, &rows).await;
    check_back(serving.pid(), before).await;
    assert!(connections(&world.db).await <= 3);
}

/// Eight answers without end at the same time.
#[tokio::test]
async fn a_flood_does_not_fill_the_memory() {
    const MOST_KIB: u64 = 48 * 1024;
    let world = World::new().await;
    let serving = service(&world, "10000").await;
    let before = Footprint::of(serving.pid());
    flood(&world, "flooded", 16).await;
    let peak = peak_kib(serving.pid());
    assert!(peak < before.rss_kib + MOST_KIB, "{peak} KiB after {} KiB", before.rss_kib);
    // The allocator keeps some of what it once had. A second flood takes no more than that.
    let after_one = Footprint { rss_kib: Footprint::of(serving.pid()).rss_kib, ..before };
    flood(&world, "again", 24).await;
    check_back(serving.pid(), after_one).await;
}

/// Floods the calls for new missions, and ends when there are `plans`.
async fn flood(world: &World, kind: &str, plans: i64) {
    let calls = world.llm.requests().len();
    world.llm.behave(Behaviour::Flood);
    create(world, kind).await;
    soon(world.llm.arrived(calls + 3 * AT_ONCE)).await;
    world.llm.behave(Behaviour::Plan);
    until_planned(world, plans).await;
}

/// Bodies that say one thing and are another: a reason each, and the next mission is planned.
#[tokio::test]
async fn lies_are_refused_with_a_reason() {
    let completion = |content: &str| format!(r#"{{"choices": [{{"message": {{"content": {content}}}}}]}}"#);
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let step = r#"{\"toolName\": \"create_task\", \"params\": {\"title\": \"x\"}, \"rationale\": \"x\"}"#;
    let steps = format!(r#"{{\"steps\": [{}]}}"#, vec![step; 10_000].join(","));
    let lies = [
        (raw(200, Some(("content-encoding", "gzip")), "no gzip"), "its body is compressed"),
        (raw(200, Some(("content-encoding", "br")), &completion("7")), "its body is compressed"),
        (raw(200, Some(("content-type", "text/plain; charset=utf-16")), "{\0}\0"), "its body is not UTF-8"),
        (raw(200, None, &completion(r#""\ud800""#)), "a lone surrogate"),
        (raw(200, None, &deep(100_000)), "nested too deep"),
        (raw(200, None, &completion(&deep(100_000))), "nested too deep"),
        (raw(200, None, &completion(&format!("\"{}\"", deep(100_000)))), "no usable plan"),
        (raw(200, None, &completion(&format!("\"{steps}\""))), "over 256 KiB"),
        (raw(200, None, &completion(r#""\u0000""#)), "no usable plan"),
    ];
    let world = World::new().await;
    for (number, (lie, reason)) in lies.into_iter().enumerate() {
        for mission in ["a", "b"] {
            let id = format!("{number}-{mission}");
            world.device(&id).create_mission(&id, due_mission()).await.unwrap();
        }
        // The second one is a repair, where it comes to that.
        world.llm.behave(lie);
        let stats = world.tick().await;
        assert_eq!((stats.due_mission_count, stats.errors.len()), (2, 2), "{number}: {stats:?}");
        assert!(stats.errors.iter().all(|error| error.contains(reason)), "{number}: {stats:?}");
        world.llm.behave(Behaviour::Plan);
        assert_eq!(world.tick().await.plans_written_back, 2, "{number}");
        check_calls(&world).await;
    }
}
