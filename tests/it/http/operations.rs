//! What operators ask over HTTP, on a real database.

use mana_ai::demo::llm::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Executor;

use crate::http::routes::Served;
use crate::support::{KEY, due_mission, mission, now, soon, with};

impl Served {
    pub async fn ask(&self, method: Method, path: &str) -> (StatusCode, Value) {
        let request = self.request(method, &format!("/internal/{path}")).header("x-service-key", KEY);
        self.json(request).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::POST, path).await
    }
}

fn in_an_hour() -> jiff::Timestamp {
    now() + jiff::Span::new().hours(1)
}

/// "Why did it not run?", for every reason that there is.
#[tokio::test]
async fn missions_say_where_they_stand() {
    let served = Served::new().await;
    let device = served.world.device("alice");
    device.create_mission("due", due_mission()).await.unwrap();
    device.create_mission("later", mission(in_an_hour())).await.unwrap();
    device.create_mission("off", with(due_mission(), json!({ "state": "paused" }))).await.unwrap();
    device
        .create_mission("odd", with(due_mission(), json!({ "cadence": { "kind": "lunar" } })))
        .await
        .unwrap();
    let reason = |body: &Value, mission: &str| {
        let missions = body["missions"].as_array().unwrap().clone();
        let found = missions.into_iter().find(|found| found["missionId"] == mission).unwrap();
        (found["due"].as_bool().unwrap(), found["reason"].as_str().unwrap().to_owned())
    };
    let before = served.get("missions?user=alice").await;
    assert!(
        reason(&before, "due").1.contains("; the next tick will see it; no tick has ever ended"),
        "{before}"
    );
    assert_eq!(reason(&before, "off"), (false, "state is paused".into()));
    assert!(reason(&before, "later").1.starts_with("not before "));
    assert!(reason(&before, "odd").1.starts_with("cannot be planned: cadence is none of"));
    assert!(!before.to_string().contains("Garten"), "no text of the missions: {before}");

    served.world.llm.behave(Behaviour::Raw(500, vec![], "{}".into()));
    let (_, stats) = served.post("tick?wait=true").await;
    assert_eq!(stats["dueMissionCount"], 2, "{stats}");
    served.world.db.admin.execute("UPDATE mana_ai.mission_schedule SET not_before = clock_timestamp() + interval '1 hour' WHERE mission_id = 'due'").await.unwrap();
    let waiting = served.get("missions/alice/due").await;
    assert_eq!(waiting["due"], false);
    let told = waiting["reason"].as_str().unwrap();
    assert!(told.contains("it was tried 1 time(s), and waits until ") && told.contains("500"), "{told}");
    assert_eq!(
        (&waiting["schedule"]["attempts"], &waiting["runs"][0]["outcome"]),
        (&json!(1), &json!("failed"))
    );
    assert_eq!(served.ask(Method::GET, "missions/alice/none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(served.get("missions?user=nobody").await, json!({ "missions": [] }));
    let aside = served.get("quarantine").await;
    assert_eq!(
        (aside["missions"].as_array().unwrap().len(), &aside["missions"][0]["missionId"]),
        (1, &json!("odd"))
    );
    assert_eq!(served.get("quarantine?after_user=alice&after_mission=odd").await, json!({ "missions": [] }));
}

/// A slot that has not come stays where it is; one that has is used up.
#[tokio::test]
async fn a_mission_may_be_run_now() {
    let served = Served::new().await;
    let mut device = served.world.device("alice");
    let later = in_an_hour();
    device.create_mission("later", mission(later)).await.unwrap();
    device
        .create_mission(
            "manual",
            with(due_mission(), json!({ "cadence": { "kind": "manual" }, "nextRunAt": null })),
        )
        .await
        .unwrap();
    device.create_mission("due", due_mission()).await.unwrap();
    device.create_mission("off", with(due_mission(), json!({ "state": "paused" }))).await.unwrap();
    for (id, next) in [("later", json!(mana_ai::domain::time::iso(later))), ("manual", Value::Null)] {
        for round in 1..=2 {
            let (status, run) = served.post(&format!("missions/alice/{id}/run")).await;
            assert_eq!((status, &run["outcome"]), (StatusCode::OK, &json!("planned")), "{id} {run}");
            let row = served.world.db.written().await.pop().unwrap();
            assert_eq!((row["record_id"].as_str(), &row["data"]["nextRunAt"]), (Some(id), &next));
            assert_eq!(
                row["data"]["iterations"].as_array().unwrap().len(),
                round,
                "each time a plan of its own"
            );
            assert_eq!(row["data"]["iterations"][round - 1]["id"], run["iterationId"]);
            // While no device has read that plan, no other is paid for.
            let (status, run) = served.post(&format!("missions/alice/{id}/run")).await;
            assert_eq!((status, &run["outcome"]), (StatusCode::OK, &json!("skipped")), "{id} {run}");
            assert!(run["reason"].as_str().unwrap().starts_with("an unread plan waits"), "{id} {run}");
            device.stage(id, now()).await.unwrap();
        }
    }
    let (_, run) = served.post("missions/alice/due/run").await;
    assert_eq!(run["outcome"], "planned");
    assert_eq!(served.post("tick").await.1["dueMissionCount"], 0, "that was its slot");
    let (status, run) = served.post("missions/alice/off/run").await;
    assert_eq!(
        (status, &run["outcome"], &run["reason"]),
        (StatusCode::OK, &json!("skipped"), &json!("state is paused"))
    );
    assert_eq!(served.post("missions/alice/none/run").await.0, StatusCode::NOT_FOUND);

    served.world.llm.behave(Behaviour::Say("nein".into()));
    let (_, run) = served.post("missions/alice/later/run").await;
    assert_eq!((&run["outcome"], &run["attempt"]), (&json!("failed"), &json!(1)), "{run}");
    let untouched = "SELECT count(*) FROM mana_ai.mission_schedule WHERE mission_id = 'later' AND attempts = 0 AND lease_token IS NULL";
    assert_eq!(served.world.db.count(untouched).await, 1, "its own slot is not charged");
}

/// Under all guards: not while it is in flight, set aside, paused, or mana-llm is not to be called.
#[tokio::test]
async fn a_run_may_be_refused() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    served.world.llm.behave(Behaviour::Hold);
    let tick = served.post("tick");
    let meanwhile = async {
        served.world.llm.arrived(1).await;
        let (status, refused) = served.post("missions/alice/m1/run").await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("being planned now"), "{refused}");
        served.world.llm.behave(Behaviour::Raw(404, vec![], "{}".into()));
    };
    soon(async { tokio::join!(tick, meanwhile) }).await;
    let (status, run) = served.post("missions/alice/m1/run").await;
    assert_eq!((status, &run["outcome"]), (StatusCode::OK, &json!("misconfigured")), "{run}");
    served
        .world
        .db
        .admin
        .execute("UPDATE mana_ai.mission_schedule SET quarantined = true, not_before = 'infinity'")
        .await
        .unwrap();
    let (status, refused) = served.post("missions/alice/m1/run").await;
    assert!(
        status == StatusCode::CONFLICT && refused["error"].as_str().unwrap().contains("set aside"),
        "{refused}"
    );
    assert_eq!(served.post("missions/alice/m1/release").await, (StatusCode::OK, json!({ "released": true })));
    assert_eq!(
        served.post("missions/alice/m1/release").await,
        (StatusCode::OK, json!({ "released": false }))
    );
    served.world.llm.behave(Behaviour::Plan);
    assert_eq!(served.post("missions/alice/m1/run").await.1["outcome"], "planned");
}

/// In the database, so over all replicas, and over restarts.
#[tokio::test]
async fn a_pause_holds_everywhere() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let (_, first) = served.post("pause").await;
    assert_eq!(served.post("pause").await.1, first, "since the first time");
    let stats = served.world.tick().await;
    assert_eq!((stats.due_mission_count, stats.errors.len()), (0, 1), "{stats:?}");
    assert!(stats.errors[0].starts_with("paused since "), "{stats:?}");
    assert!(
        served.get("missions/alice/m1").await["reason"]
            .as_str()
            .unwrap()
            .contains("but the runner is paused")
    );
    assert_eq!(served.post("missions/alice/m1/run").await.0, StatusCode::CONFLICT);
    assert_eq!(served.get("status").await["pausedSince"], first["pausedSince"]);
    assert_eq!(served.post("resume").await, (StatusCode::OK, json!({ "pausedSince": null })));
    assert_eq!(served.world.tick().await.plans_written_back, 1);
}

#[tokio::test]
async fn the_status_page_tells_the_truth() {
    let served = Served::new().await;
    let other = served.world.replica(&[]);
    let empty = served.get("status").await;
    assert_eq!(
        (&empty["due"], &empty["oldestDue"], empty["replicas"].as_array().unwrap().len()),
        (&json!(0), &Value::Null, 0)
    );
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    served.world.llm.behave(Behaviour::Raw(401, vec![], "{}".into()));
    served.post("tick").await;
    other.tick(true).await;
    let status = served.get("status").await;
    assert_eq!(
        (&status["due"], &status["leases"], &status["quarantined"]),
        (&json!(1), &json!(0), &json!(0)),
        "{status}"
    );
    let replicas = status["replicas"].as_array().unwrap();
    assert_eq!(replicas.len(), 2);
    assert!(replicas[0]["breaker"].as_str().unwrap().contains("401"), "{status}");
    assert_eq!(
        (&replicas[0]["lastTick"]["dueMissionCount"], &replicas[0]["lastTick"]["errors"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn runs_come_in_pages() {
    let served = Served::new().await;
    for mission in 0..7 {
        served.world.device("alice").create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
    }
    served.world.device("bob").create_mission("theirs", due_mission()).await.unwrap();
    served.post("tick").await;
    let mut ids = Vec::new();
    let mut page = served.get("runs?user=alice&limit=3").await;
    loop {
        ids.extend(page["runs"].as_array().unwrap().iter().map(|run| run["id"].as_i64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        page = served.get(&format!("runs?user=alice&limit=3&before={next}")).await;
    }
    assert_eq!(ids.len(), 7);
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    assert_eq!(served.get("runs?mission=theirs&outcome=planned").await["runs"].as_array().unwrap().len(), 1);
    assert_eq!(served.get("runs?outcome=lost").await, json!({ "runs": [], "next": null }));
}

#[tokio::test]
async fn bad_questions_are_named() {
    let served = Served::new().await;
    let long = format!("missions?user={}", "u".repeat(1025));
    for (path, expected) in [
        (long.as_str(), "longer than 1024 characters"),
        ("missions", "missing field `user`"),
        ("missions?user=", "an id is empty"),
        ("missions?user=a%00b", "NUL"),
        ("missions?usr=alice", "unknown field `usr`"),
        ("runs?limit=0", "limit=0 is not from 1 to 500"),
        ("runs?limit=many", "invalid digit"),
        ("runs?outcome=nice", "unknown variant `nice`"),
        ("missions/alice/%00", "NUL"),
        ("missions/%FF/x", "UTF-8"),
        ("quarantine?after_user=%00", "NUL"),
    ] {
        let (status, body) = served.ask(Method::GET, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().contains(expected), "{path}: {body}");
    }
    // Counted in characters, as the description does; bytes decide what the schedule can hold.
    let wide = served.get(&format!("missions?user={}", "%C3%BC".repeat(1024))).await;
    assert_eq!(wide, json!({ "missions": [] }));
    let unseen = format!("missions/{}/{}", "u".repeat(600), "m".repeat(600));
    let (status, body) = served.ask(Method::GET, &unseen).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    assert!(body["error"].as_str().unwrap().contains("not seen"), "{body}");
}

/// Every `$ref` below `value`.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let here = fields.get("$ref").and_then(Value::as_str);
            here.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The description in the repository is the one that is served.
#[tokio::test]
async fn the_description_does_not_drift() {
    let served = Served::new().await;
    let served = served.get("openapi.json").await;
    let kept: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert!(served == kept, "cargo run -- openapi > docs/openapi.json");
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    for reference in references(&served) {
        assert!(served.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
    for (path, item) in served["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                operation["description"].is_string() || operation["summary"].is_string(),
                "{method} {path}"
            );
        }
    }
}
