//! "Why did it not run?": the cases in which the mission's own record is not the answer.

use jiff::ToSpan as _;
use mana_ai::demo::llm::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::Executor as _;

use crate::http::routes::Served;
use crate::support::{World, due_mission, mission, now, soon};

/// Whether it is due, and why.
async fn why(served: &Served, mission: &str) -> (bool, String) {
    let told = served.get(&format!("missions/alice/{mission}")).await;
    verdict(&told)
}

fn verdict(told: &Value) -> (bool, String) {
    let (due, reason) = (told["due"].as_bool().unwrap(), told["reason"].as_str().unwrap().to_owned());
    assert!(due || !reason.contains("due since"), "not due, and due since: {reason}");
    (due, reason)
}

async fn sql(served: &Served, sql: &'static str) {
    served.world.db.admin.execute(sql).await.unwrap();
}

/// Nobody ticks, or nobody has for days.
#[tokio::test]
async fn the_age_of_the_last_tick_is_told() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let (due, reason) = why(&served, "m1").await;
    assert!(
        due && reason.contains("the next tick will see it; no tick has ever ended on this database"),
        "{reason}"
    );
    // It sees the mission, and cannot plan it.
    served.world.llm.behave(Behaviour::Raw(500, vec![], "{}".into()));
    served.post("tick?wait=true").await;
    assert!(why(&served, "m1").await.1.contains("; the last tick ended 0 s ago"));
    sql(&served, "UPDATE mana_ai.replicas SET seen_at = seen_at - interval '3 days'").await;
    let told = served.get("missions/alice/m1").await;
    assert!(verdict(&told).1.ends_with("; the last tick ended 3 days ago"), "{told}");
    assert!((259_200..259_300).contains(&told["lastTickAgeSeconds"].as_i64().unwrap()), "{told}");
    assert!(told["lastTickAt"].is_string(), "{told}");
}

/// Neither "no such mission" nor `migrate`: what is missing is mana-sync's.
#[tokio::test]
async fn a_missing_policy_of_mana_sync_is_named() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    assert_eq!(served.ask(Method::GET, "missions/alice/none").await.0, StatusCode::NOT_FOUND);
    sql(&served, "DROP POLICY sync_changes_user_isolation ON sync_changes").await;
    for path in ["missions/alice/m1", "missions?user=alice"] {
        let (status, told) = served.ask(Method::GET, path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {told}");
        assert!(told["error"].as_str().unwrap().contains("mana-sync makes it when it starts"), "{told}");
    }
    assert_eq!(served.ask(Method::GET, "missions/alice/none").await.0, StatusCode::NOT_FOUND);
    let (_, ready) = served.json(served.request(Method::GET, "/ready")).await;
    let reason = ready["reason"].as_str().unwrap();
    assert!(reason.contains("mana-sync makes it when it starts") && !reason.contains("migrate"), "{reason}");
    sql(&served, "DROP POLICY mana_ai_missions_only ON sync_changes").await;
    // The first answer may be remembered for a moment.
    let asks_for_migrate = async || {
        let (_, ready) = served.json(served.request(Method::GET, "/ready")).await;
        ready["reason"].as_str().unwrap().contains("run `mana-ai migrate`")
    };
    soon(async { while !asks_for_migrate().await {} }).await;
}

#[tokio::test]
async fn an_endless_id_is_never_planned() {
    let served = Served::new().await;
    let id = "x".repeat(1_100);
    served.world.device("alice").create_mission(&id, due_mission()).await.unwrap();
    served.post("tick?wait=true").await;
    let told = served.get("missions?user=alice").await;
    let (due, reason) = verdict(&told["missions"][0]);
    assert!(!due && reason.starts_with("never planned: ") && reason.contains("1024 bytes"), "{reason}");
}

#[tokio::test]
async fn a_slot_that_failed_is_told_with_the_next_one() {
    let world = World::with(&[("MAX_ATTEMPTS", "1")]).await;
    let served = Served::with(world, &[("TICK_ENABLED", "false"), ("MAX_ATTEMPTS", "1")]).await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    served.world.llm.behave(Behaviour::Raw(500, vec![], "{}".into()));
    served.post("tick?wait=true").await;
    let told = served.get("missions/alice/m1").await;
    let (due, reason) = verdict(&told);
    assert!(!due && reason.starts_with("not before ") && reason.contains("; its slot "), "{reason}");
    assert!(reason.contains(" failed: ") && reason.contains("500"), "{reason}");
    assert_eq!(told["lastSlot"]["outcome"], "slot-failed", "{told}");
    sql(
        &served,
        "UPDATE mana_ai.mission_schedule SET failed_slots = 5, not_before = now() + interval '1 day'",
    )
    .await;
    let (_, reason) = why(&served, "m1").await;
    assert!(reason.contains("; after 5 failed slot(s) in a row it rests until "), "{reason}");
}

#[tokio::test]
async fn a_user_with_too_many_at_work_is_named() {
    let served = Served::new().await;
    for n in 1..=3 {
        let slot = mission(now() - (10 - n).minutes());
        served.world.device("alice").create_mission(&format!("m{n}"), slot).await.unwrap();
    }
    served.post("pause").await;
    served.post("tick?wait=true").await;
    let (due, reason) = why(&served, "m3").await;
    assert!(
        !due && reason.starts_with("its slot came at ") && reason.contains("the runner is paused since"),
        "{reason}"
    );
    served.post("resume").await;
    served.world.llm.behave(Behaviour::Hold);
    let tick = served.world.tick_in_background();
    soon(served.world.llm.arrived(2)).await;
    assert!(why(&served, "m1").await.1.starts_with("being planned now"));
    let (due, reason) = why(&served, "m3").await;
    let expected = "2 other mission(s) of its user are being planned, and 2 may be at once (USER_CONCURRENCY";
    assert!(!due && reason.contains(expected), "{reason}");
    served.world.llm.behave(Behaviour::Plan);
    soon(tick).await.unwrap();
}
