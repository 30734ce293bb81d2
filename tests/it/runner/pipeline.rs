//! A due mission is planned and written back, and only then.

use jiff::{Timestamp, ToSpan};
use mana_ai::demo::llm::Behaviour;
use mana_ai::domain::time::iso;
use serde_json::{Value, json};

use crate::support::{KEY, World, due_mission, mission, now, soon, with};

#[tokio::test]
async fn a_due_mission_becomes_one_row() {
    let world = World::new().await;
    let before = now();
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert_eq!(
        (stats.due_mission_count, stats.plans_produced, stats.plans_written_back),
        (1, 1, 1),
        "{stats:?}"
    );
    assert_eq!((stats.parse_failures, stats.errors.len()), (0, 0), "{stats:?}");
    assert!(stats.scanned_at.parse::<Timestamp>().unwrap() >= before - 1.second());

    let rows = world.db.written().await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    for (column, expected) in [
        ("app_id", json!("ai")),
        ("table_name", json!("aiMissions")),
        ("record_id", json!("m1")),
        ("user_id", json!("alice")),
        ("op", json!("update")),
        ("schema_version", json!(1)),
        ("actor", json!({ "kind": "system", "source": "mission-runner" })),
    ] {
        assert_eq!(row[column], expected, "{column}");
    }
    let data = row["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["iterations", "nextRunAt"]);
    let at = &row["field_timestamps"]["iterations"];
    assert!(at.as_str().unwrap().parse::<Timestamp>().unwrap() >= before - 1.second());
    assert_eq!(row["field_timestamps"], json!({ "iterations": at, "nextRunAt": at }));
    let next: Timestamp = data["nextRunAt"].as_str().unwrap().parse().unwrap();
    assert!(next > now() + 59.minutes() && next < now() + 61.minutes(), "an hour from now: {next}");
    check_iteration(&data["iterations"][0]);
}

fn check_iteration(iteration: &Value) {
    let id = iteration["id"].as_str().unwrap();
    assert_eq!(iteration["source"], "server");
    assert_eq!(iteration["overallStatus"], "awaiting-review");
    assert!(iteration["startedAt"].as_str().unwrap() <= iteration["finishedAt"].as_str().unwrap());
    for (index, step) in iteration["plan"].as_array().unwrap().iter().enumerate() {
        assert_eq!(step["id"], format!("{id}-{index}"));
        assert_eq!(step["status"], "planned");
        assert_eq!(step["intent"]["kind"], "toolCall");
        assert_eq!(step["intent"]["toolName"], "create_task");
        assert!(!step["rationale"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_model_is_asked_as_the_wire_says() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let requests = world.llm.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(request.authorization, format!("Bearer {KEY}"));
    assert_eq!(request.body["model"], "mana/reasoning");
    assert_eq!(request.body["temperature"], 0.3);
    let [system, user] = [&request.body["messages"][0], &request.body["messages"][1]];
    assert_eq!((system["role"].as_str(), user["role"].as_str()), (Some("system"), Some("user")));
    let (rules, briefing) = (system["content"].as_str().unwrap(), user["content"].as_str().unwrap());
    for tool in mana_ai::planner::tools::TOOLS.iter() {
        assert!(rules.contains(&tool.name), "{} is not offered", tool.name);
    }
    for text in ["Garten", "Ein kleiner Garten", "Jeden Monat etwas ernten"] {
        assert!(briefing.contains(text) && !rules.contains(text), "{text} belongs into the briefing alone");
    }
}

#[tokio::test]
async fn a_second_tick_finds_nothing() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let again = world.tick().await;
    assert_eq!((again.due_mission_count, again.errors.len()), (0, 0), "{again:?}");
    assert_eq!((world.llm.requests().len(), world.db.written().await.len()), (1, 1));
}

#[tokio::test]
async fn what_is_not_due_is_left_alone() {
    let world = World::new().await;
    let device = world.device("alice");
    for (id, data) in [
        ("later", mission(now() + 1.hour())),
        ("paused", with(due_mission(), json!({ "state": "paused" }))),
        ("done", with(due_mission(), json!({ "state": "done" }))),
        ("deleted", with(due_mission(), json!({ "deletedAt": iso(now()) }))),
        ("never", with(due_mission(), json!({ "nextRunAt": null }))),
    ] {
        device.create_mission(id, data).await.unwrap();
    }
    let stats = world.tick().await;
    assert_eq!((stats.due_mission_count, stats.errors.len()), (0, 0), "{stats:?}");
    assert!(world.llm.requests().is_empty() && world.db.written().await.is_empty());
}

#[tokio::test]
async fn a_manual_mission_runs_once() {
    let world = World::new().await;
    let data = with(due_mission(), json!({ "cadence": { "kind": "manual" } }));
    world.device("alice").create_mission("m1", data).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    assert_eq!(world.db.written().await[0]["data"]["nextRunAt"], Value::Null);
    assert_eq!(world.tick().await.due_mission_count, 0);
}

#[tokio::test]
async fn days_of_outage_make_one_run() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", mission(now() - (24 * 5).hours())).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    assert_eq!(world.tick().await.due_mission_count, 0, "missed slots are not caught up");
}

#[tokio::test]
async fn a_plan_without_steps_has_nothing_to_review() {
    let world = World::new().await;
    world.llm.behave(Behaviour::Say(r#"{"summary": "Nichts zu tun", "steps": []}"#.into()));
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let iteration = &world.db.written().await[0]["data"]["iterations"][0];
    assert_eq!((&iteration["overallStatus"], &iteration["plan"]), (&json!("approved"), &json!([])));
}

/// What other writers put into a mission and its iterations leaves us as it came.
#[tokio::test]
async fn unknown_fields_survive_byte_for_byte() {
    let world = World::new().await;
    let strange = r#"[{"id": "old", "x": 1.10, "big": 123456789012345678901234567890, "deep": [{"é\\\"": null}]}, "text", 7]"#;
    let data = with(due_mission(), json!({ "iterations": [] }));
    world.device("alice").create_mission("m1", data).await.unwrap();
    sqlx::query("UPDATE sync_changes SET data = jsonb_set(data, '{iterations}', $1::jsonb)")
        .bind(strange)
        .execute(&world.db.admin)
        .await
        .unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let kept: bool = sqlx::query_scalar(
        "SELECT (data #- '{iterations,3}') -> 'iterations' = $1::jsonb
             AND ((data #- '{iterations,3}') -> 'iterations')::text = $1::jsonb::text
         FROM sync_changes WHERE client_id = 'mana-ai-runner'",
    )
    .bind(strange)
    .fetch_one(&world.db.admin)
    .await
    .unwrap();
    assert!(kept, "{:?}", world.db.written().await);
}

#[tokio::test]
async fn one_failure_does_not_stop_the_next() {
    let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
    let device = world.device("alice");
    device
        .create_mission("bad", with(mission(now() - 2.hours()), json!({ "cadence": { "kind": "hourly" } })))
        .await
        .unwrap();
    device.create_mission("good", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert_eq!((stats.due_mission_count, stats.plans_written_back), (2, 1), "{stats:?}");
    let [error] = stats.errors.as_slice() else { panic!("{stats:?}") };
    assert!(error.starts_with("mission bad: cadence is none of"), "{error}");
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

/// Answers that are no plan: counted, named with step and reason, nothing written, tried again.
#[tokio::test]
async fn bad_plans_are_refused_with_a_reason() {
    let step = |tool: &str, params: Value| {
        json!({ "summary": "s", "steps": [{ "summary": "x", "toolName": tool, "params": params, "rationale": "why" }] }).to_string()
    };
    let many = vec![json!({ "toolName": "undo_last_drink", "rationale": "why" }); 6];
    for (answer, reason) in [
        ("Das kann ich nicht.".to_owned(), "not JSON"),
        (step("delete_everything", json!({})), "step 1: its tool is not on the allow-list"),
        (step("create_task", json!({})), "step 1: create_task: required parameter title is missing"),
        (step("create_task", json!({ "title": 7 })), "step 1: create_task: parameter title must be a string"),
        (
            step("create_task", json!({ "title": "x", "priority": "urgent" })),
            "parameter priority must be one of low, medium, high",
        ),
        (
            step("create_task", json!({ "title": "x", "dueDate": "morgen" })),
            "parameter dueDate must have the format YYYY-MM-DD",
        ),
        (
            step("create_place", json!({ "name": "x", "latitude": "52", "longitude": 13 })),
            "parameter latitude must be a number",
        ),
        (step("create_task", json!({ "title": "a\u{0}b" })), "NUL"),
        (json!({ "summary": "s", "steps": many }).to_string(), "6 steps, at most 5"),
        (format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "nested deeper than 32 levels"),
        (r#"{"summary": "\ud800", "steps": []}"#.into(), "a lone surrogate"),
        (step("create_task", json!({ "title": "x", "extra": deep(40) })), "nested deeper than 32 levels"),
    ] {
        let world = World::new().await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        world.llm.behave(Behaviour::Say(answer));
        let stats = world.tick().await;
        assert_eq!((stats.parse_failures, stats.plans_produced), (1, 0), "{stats:?}");
        assert!(stats.errors[0].starts_with("mission m1: no usable plan: "), "{stats:?}");
        assert!(stats.errors[0].contains(reason), "{reason}: {stats:?}");
        world.llm.behave(Behaviour::Plan);
        assert_eq!(world.tick().await.plans_written_back, 1, "after {reason}");
    }
}

/// The model is asked for bare JSON, and a description may hold a block of code.
#[tokio::test]
async fn backticks_in_a_string_are_no_fence() {
    let world = World::new().await;
    let mut device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    let params = json!({ "title": "Skript", "description": "So:\n```sh\nls\n```" });
    let answer = json!({ "steps": [{ "toolName": "create_task", "params": params, "rationale": "why" }] });
    for answer in [answer.to_string(), format!("```json\n{answer}\n```")] {
        world.llm.behave(Behaviour::Say(answer));
        assert_eq!(world.tick().await.plans_written_back, 1);
        // An unread plan would hold up the next one.
        device.stage("m1", now()).await.unwrap();
        let again = json!({ "nextRunAt": iso(now() - 1.second()) });
        device.edit_mission("m1", again, now() + 1.second()).await.unwrap();
    }
}

/// No connection is held during a call: two are enough for sixty-four missions at once.
#[tokio::test]
async fn many_missions_of_many_users_on_two_connections() {
    let world = World::with(&[("TICK_CONCURRENCY", "64"), ("DATABASE_POOL_SIZE", "2")]).await;
    for user in 0..50 {
        let device = world.device(&format!("user-{user}"));
        for mission in 0..2 {
            // The same record ids for each user: they are different missions.
            device.create_mission(&format!("m{mission}"), due_mission()).await.unwrap();
        }
    }
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(64)).await;
    world.llm.behave(Behaviour::Plan);
    let stats = soon(tick).await.unwrap();
    assert_eq!((stats.due_mission_count, stats.plans_written_back), (100, 100), "{stats:?}");
    let owners =
        world.db.count("SELECT count(DISTINCT user_id) FROM sync_changes WHERE client_id = 'mana-ai-runner'");
    assert_eq!(owners.await, 50);
}

/// Two hundred older missions of one user do not keep another's one waiting.
#[tokio::test]
async fn a_crowd_of_one_user_delays_nobody() {
    let world = World::with(&[("TICK_CONCURRENCY", "4")]).await;
    for mission_number in 0..200 {
        let data = mission(now() - 3.hours());
        world.device("greedy").create_mission(&format!("m{mission_number}"), data).await.unwrap();
    }
    let data = with(due_mission(), json!({ "title": "Bescheiden" }));
    world.device("modest").create_mission("one", data).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 201);
    let prompts = world.llm.requests();
    let turn = prompts.iter().position(|request| request.body.to_string().contains("Bescheiden")).unwrap();
    // Third, but for missions of the crowd that end before the next claim.
    assert!(turn < 40, "it came as number {turn}");
}

/// All connections are cut, as when the server restarts: the next tick does not even notice.
#[tokio::test]
async fn cut_connections_are_replaced() {
    let world = World::new().await;
    world.tick().await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'mana-ai'";
    assert!(world.db.count(cut).await > 0);
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 0), "{stats:?}");
}
