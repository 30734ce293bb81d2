//! Every attempt is in the ledger, and every slot ends planned, visibly failed, or waiting for a reason.

use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use mana_ai::store::runs::{Pruned, Run, RunFilter, list, prune};
use mana_ai::store::schedule::queries::quarantined;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{World, due_mission, now, with};

fn raw(status: u16) -> Behaviour {
    Behaviour::Raw(status, vec![], "{}".into())
}

async fn runs(world: &World) -> Vec<Run> {
    let mut runs = list(&world.store, &RunFilter::default(), 1000).await.unwrap();
    runs.reverse();
    runs
}

async fn outcomes(world: &World) -> Vec<(i32, String)> {
    runs(world).await.into_iter().map(|run| (run.attempt, run.outcome.unwrap_or("running".into()))).collect()
}

fn ended(outcomes: &[(i32, &str)]) -> Vec<(i32, String)> {
    outcomes.iter().map(|(attempt, outcome)| (*attempt, (*outcome).to_owned())).collect()
}

async fn iterations(world: &World) -> Vec<Value> {
    let rows = world.db.written().await;
    rows.last().map(|row| row["data"]["iterations"].as_array().unwrap().clone()).unwrap_or_default()
}

/// As if the waits of all missions were over.
async fn end_waits(world: &World) {
    world.db.admin.execute("UPDATE mana_ai.mission_schedule SET not_before = '-infinity'").await.unwrap();
}

/// As if the next slot had come.
async fn next_slot(world: &World, mission: &str) {
    let slot = json!({ "nextRunAt": due_mission()["nextRunAt"] });
    world.device("alice").edit_mission(mission, slot, now()).await.unwrap();
}

#[tokio::test]
async fn a_plan_and_what_it_cost() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.tick().await;
    let run = runs(&world).await.remove(0);
    assert_eq!((run.user_id.as_str(), run.mission_id.as_str(), run.attempt), ("alice", "m1", 1));
    assert_eq!((run.outcome.as_deref(), run.reason), (Some("planned"), None));
    assert_eq!((run.prompt_tokens, run.completion_tokens), (Some(100), Some(50)));
    assert_eq!(run.model.as_deref(), Some("stand-in/demo"));
    assert!(run.latency_ms.is_some() && run.finished_at.is_some());
    assert_eq!(run.iteration_id.as_deref(), iterations(&world).await[0]["id"].as_str());
}

/// Five attempts, then the user is told in their own iteration list, and the mission goes on.
#[tokio::test]
async fn the_last_attempt_ends_the_slot_visibly() {
    let world = World::with(&[("BREAKER_FAILURES", "100")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(raw(503));
    for _ in 0..4 {
        assert_eq!(world.tick().await.errors.len(), 1);
    }
    assert!(world.db.written().await.is_empty());
    let last = world.tick().await;
    assert_eq!((last.plans_produced, last.plans_written_back, last.errors.len()), (0, 0, 1), "{last:?}");
    let expected = ended(&[(1, "failed"), (2, "failed"), (3, "failed"), (4, "failed"), (5, "slot-failed")]);
    assert_eq!(outcomes(&world).await, expected);
    let ours = iterations(&world).await.remove(0);
    assert_eq!(
        (&ours["overallStatus"], &ours["source"], &ours["plan"]),
        (&json!("failed"), &json!("server"), &json!([]))
    );
    assert_eq!(
        ours["summary"],
        "Dieser Durchlauf ist nach 5 Versuchen ausgefallen. Der KI-Dienst war nicht erreichbar oder hat nicht \
         rechtzeitig geantwortet. Zum nächsten Termin wird es wieder versucht."
    );
    assert_eq!(world.tick().await.due_mission_count, 0, "the slot is over");
    assert_eq!(world.llm.requests().len(), 5);

    world.llm.behave(Behaviour::Plan);
    next_slot(&world, "m1").await;
    assert_eq!(world.tick().await.plans_written_back, 1, "a failed iteration blocks nothing");
}

/// After five failed slots there is one attempt a day, until a plan succeeds or its user edits it.
#[tokio::test]
async fn a_mission_that_keeps_failing_rests() {
    let world = World::with(&[("MAX_ATTEMPTS", "1"), ("BREAKER_FAILURES", "100")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(raw(500));
    let rests = "SELECT count(*) FROM mana_ai.mission_schedule
        WHERE not_before > clock_timestamp() + interval '23 hours' AND failed_slots = 5 AND waits IS NOT NULL";
    for slot in 1..=5 {
        assert_eq!(world.db.count(rests).await, 0, "before slot {slot}");
        assert_eq!(world.tick().await.errors.len(), 1, "slot {slot}");
        // Its own cadence moves it on, no device does: in an hour, which is now.
        world
            .db
            .admin
            .execute("UPDATE mana_ai.mission_schedule SET next_run_at = next_run_at - interval '2 hours'")
            .await
            .unwrap();
        let moved = "UPDATE sync_changes SET data = jsonb_set(data, '{nextRunAt}', to_jsonb(to_char((data ->> 'nextRunAt')::timestamptz AT TIME ZONE 'UTC' - interval '2 hours', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')))
            WHERE client_id = 'mana-ai-runner' AND created_at = (SELECT max(created_at) FROM sync_changes)";
        world.db.admin.execute(moved).await.unwrap();
    }
    assert_eq!(world.db.count(rests).await, 1);
    assert_eq!(world.tick().await.due_mission_count, 0, "it rests");
    world.llm.behave(Behaviour::Plan);
    world.device("alice").edit_mission("m1", json!({ "title": "neu" }), now()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1, "an edit wakes it");
    assert_eq!(
        world.db.count("SELECT count(*) FROM mana_ai.mission_schedule WHERE failed_slots = 0").await,
        1
    );
}

/// The waits are the policy's, by the database's clock.
#[tokio::test]
async fn a_failed_attempt_waits() {
    let world = World::with(&[("RETRY_MIN_MS", "30000"), ("RETRY_MAX_MS", "1800000")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(raw(500));
    let stats = world.tick().await;
    assert_eq!(stats.errors.len(), 1, "{stats:?}");
    let waits =
        "SELECT extract(epoch FROM not_before - clock_timestamp())::bigint FROM mana_ai.mission_schedule";
    let seconds = world.db.count(waits).await;
    assert!((25..=60).contains(&seconds), "{seconds} s");
    assert_eq!(world.tick().await.due_mission_count, 0);
    end_waits(&world).await;
    assert_eq!(world.tick().await.due_mission_count, 1);
}

/// Attempts that fail alike at the same moment come back at different moments, anywhere in the ten minutes between the
/// shortest wait and twice that.
#[tokio::test]
async fn those_who_fail_together_do_not_return_together() {
    let patient = [("RETRY_MIN_MS", "600000"), ("RETRY_MAX_MS", "3600000"), ("BREAKER_FAILURES", "100")];
    let world = World::with(&patient).await;
    for mission in 0..8 {
        let id = format!("m{mission}");
        world.device(&id).create_mission(&id, due_mission()).await.unwrap();
    }
    world.llm.behave(raw(500));
    assert_eq!(world.tick().await.errors.len(), 8);
    // From the end of its own run, so that it does not matter how long the tick took.
    let waits = "FROM (SELECT extract(epoch FROM not_before - finished_at) AS seconds
        FROM mana_ai.mission_schedule JOIN mana_ai.mission_runs AS run ON run.id = run_id) AS waits";
    let seconds = async |what: &str| {
        let sql = AssertSqlSafe(format!("SELECT ({what})::bigint {waits}"));
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&world.db.admin).await.unwrap()
    };
    let (shortest, longest) = (seconds("min(seconds)").await, seconds("max(seconds)").await);
    assert!(shortest >= 599 && longest <= 1201, "{shortest} s to {longest} s");
    // Eight of them within one tenth of the range are one case in a million.
    assert!(longest - shortest > 60, "{shortest} s to {longest} s");
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_and_not_charged() {
    let world = World::new().await;
    for mission in ["m1", "m2", "m3"] {
        world.device(mission).create_mission(mission, due_mission()).await.unwrap();
    }
    world.llm.behave(Behaviour::Raw(429, vec![("retry-after", "600".into())], Vec::new()));
    let replica = world.replica(&[("TICK_CONCURRENCY", "1")]);
    let stats = replica.tick(true).await;
    assert_eq!(
        (stats.due_mission_count, world.llm.requests().len()),
        (1, 1),
        "who limits the rate is let alone"
    );
    assert!(stats.errors.iter().any(|error| error.contains("asks to wait 600 s")), "{stats:?}");
    assert_eq!(outcomes(&world).await, ended(&[(1, "rate-limited")]));
    let refunded = "SELECT count(*) FROM mana_ai.mission_schedule
        WHERE attempts = 0 AND not_before > clock_timestamp() + interval '590 seconds'";
    assert_eq!(world.db.count(refunded).await, 1);
    let held = replica.tick(true).await;
    assert_eq!((held.due_mission_count, held.errors.len()), (0, 1), "{held:?}");
    assert!(held.errors[0].starts_with("mana-llm limits the rate; the next call in "), "{held:?}");
}

/// One call, no charge, and `/ready` knows; when it is mended the next tick plans.
#[tokio::test]
async fn a_wrong_key_is_the_operators() {
    for status in [401, 403, 404, 302] {
        let world = World::new().await;
        for mission in ["m1", "m2", "m3"] {
            world.device(mission).create_mission(mission, due_mission()).await.unwrap();
        }
        let replica = world.replica(&[("TICK_CONCURRENCY", "1")]);
        world.llm.behave(raw(status));
        for calls in 1..=2 {
            let stats = replica.tick(true).await;
            assert_eq!(world.llm.requests().len(), calls, "nothing more is called in this tick: {stats:?}");
            assert!(stats.errors[0].contains("check MANA_LLM_URL"), "{stats:?}");
        }
        let told = replica.readiness().await.unwrap_err().to_string();
        assert!(told.contains(&status.to_string()) && told.contains("MANA_SERVICE_KEY"), "{told}");
        let charged = "SELECT coalesce(sum(attempts), 0)::bigint FROM mana_ai.mission_schedule";
        assert_eq!(world.db.count(charged).await, 0);
        world.llm.behave(Behaviour::Plan);
        assert_eq!(replica.tick(true).await.plans_written_back, 3);
        assert!(replica.readiness().await.is_ok());
    }
}

/// Five time-outs, and nobody waits for a sixth; the rest is neither called nor charged.
#[tokio::test]
async fn the_breaker_spares_the_others() {
    let world = World::with(&[("BREAKER_PAUSE_MS", "1000"), ("TICK_CONCURRENCY", "1")]).await;
    for mission in 0..20 {
        let id = format!("m{mission:02}");
        world.device(&id).create_mission(&id, due_mission()).await.unwrap();
    }
    world.llm.behave(raw(503));
    let stats = world.tick().await;
    assert_eq!((stats.due_mission_count, world.llm.requests().len()), (5, 5), "{stats:?}");
    let last = stats.errors.last().unwrap();
    assert!(last.contains("circuit to mana-llm is open") && last.contains("503"), "{stats:?}");
    let held = world.tick().await;
    assert_eq!((held.due_mission_count, held.errors.len()), (0, 1), "{held:?}");
    assert!(world.runner.readiness().await.is_ok(), "that is mana-llm's, not ours");
    let charged = "SELECT sum(attempts)::bigint FROM mana_ai.mission_schedule";
    assert_eq!(world.db.count(charged).await, 5);

    world.llm.behave(Behaviour::Plan);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(
        world.tick().await.plans_written_back,
        20,
        "the probe succeeds, and all follow in the same tick"
    );
}

/// The model is told what was wrong, once.
#[tokio::test]
async fn an_unusable_answer_may_be_repaired() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.script([Behaviour::Say(r#"{"summary": "x", "steps": [{"toolName": "rm_rf"}]}"#.into())]);
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.parse_failures), (1, 0), "{stats:?}");
    let requests = world.llm.requests();
    let messages = requests[1].body["messages"].as_array().unwrap();
    assert_eq!((requests.len(), messages.len()), (2, 4));
    assert_eq!(messages[2]["role"], "assistant");
    assert!(messages[2]["content"].as_str().unwrap().contains("rm_rf"), "its own words");
    assert!(messages[3]["content"].as_str().unwrap().contains("step 1: its tool is not on the allow-list"));
    let run = runs(&world).await.remove(0);
    assert_eq!((run.prompt_tokens, run.completion_tokens), (Some(200), Some(100)), "both calls are counted");

    world.device("bob").create_mission("m2", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Say("nein".into()));
    let stats = world.tick().await;
    assert_eq!((stats.parse_failures, world.llm.requests().len()), (1, 4), "one repair, not more");
}

/// A model that is cut while it still thinks has written no text, and bills for what it thought.
#[tokio::test]
async fn an_answer_without_a_text_was_paid_for_all_the_same() {
    let stopped = |reason: Value, content: Value| json!([{ "finish_reason": reason, "message": { "content": content } }]);
    for (choices, told) in [
        (stopped(json!("length"), Value::Null), "finish_reason length"),
        (stopped(json!("content_filter"), json!("{\"ste")), "finish_reason content_filter"),
        (stopped(json!("stop"), Value::Null), "its message's content is null"),
        (json!([]), "its list of choices is empty"),
    ] {
        let world = World::new().await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        let usage = json!({ "prompt_tokens": 700, "completion_tokens": 4096 });
        let body = json!({ "choices": choices, "usage": usage }).to_string();
        let headers = vec![("x-mana-llm-resolved", "thinker/large".to_owned())];
        world.llm.behave(Behaviour::Raw(200, headers, body.into_bytes()));
        world.tick().await;
        let run = runs(&world).await.remove(0);
        assert!(run.reason.as_deref().unwrap().contains(told), "{run:?}");
        assert_eq!(run.outcome.as_deref(), Some("failed"), "{told}");
        assert_eq!((run.prompt_tokens, run.completion_tokens), (Some(700), Some(4096)), "{told}");
        assert_eq!(run.model.as_deref(), Some("thinker/large"), "{told}");
        let metrics = world.runner.metrics().text().unwrap();
        for (kind, count) in [("prompt", 700), ("completion", 4096)] {
            let line = format!(r#"llm_tokens_total{{kind="{kind}",model="thinker/large"}} {count}"#);
            assert!(metrics.contains(&line), "{line} in {metrics}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_listed() {
    let world = World::new().await;
    let device = world.device("alice");
    device
        .create_mission("broken", with(due_mission(), json!({ "cadence": { "kind": "lunar" } })))
        .await
        .unwrap();
    device.create_mission("undated", with(due_mission(), json!({ "nextRunAt": "morgen" }))).await.unwrap();
    device.create_mission("fine", due_mission()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1);
    let listed = quarantined(&world.store, ("", ""), 10).await.unwrap();
    let ids: Vec<&str> = listed.iter().map(|mission| mission.mission_id.as_str()).collect();
    assert_eq!(ids, ["broken", "undated"]);
    assert!(listed[0].reason.as_deref().unwrap().starts_with("cadence is none of"), "{listed:?}");
    assert_eq!(world.tick().await.due_mission_count, 0, "not tried again");
    device
        .edit_mission("broken", json!({ "cadence": { "kind": "interval", "everyMinutes": 5 } }), now())
        .await
        .unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1, "a new row lifts it");
    assert_eq!(quarantined(&world.store, ("", ""), 10).await.unwrap().len(), 1);
}

/// Nobody came back from it five times: it is set aside, and never alone with others meanwhile.
#[tokio::test]
async fn a_killer_is_set_aside() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("killer", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    for round in 1..=5 {
        let tick = world.tick_in_background();
        crate::support::soon(world.llm.arrived(round)).await;
        // As if its process had died: nothing more is heard of it.
        tick.abort();
        let _ = tick.await;
        crate::store::leases::expire_leases(&world.db).await;
    }
    world.device("bob").create_mission("fine", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Plan);
    let stats = world.tick().await;
    assert_eq!((stats.plans_written_back, stats.errors.len()), (1, 1), "{stats:?}");
    assert!(
        stats.errors[0].starts_with("mission killer: 5 attempts in a row ended with their process"),
        "{stats:?}"
    );
    let lost = outcomes(&world).await.into_iter().filter(|(_, outcome)| outcome == "lost").count();
    assert_eq!(lost, 5);
    assert_eq!(quarantined(&world.store, ("", ""), 10).await.unwrap()[0].mission_id, "killer");
    device.edit_mission("killer", json!({ "title": "zahm" }), now()).await.unwrap();
    assert_eq!(world.tick().await.plans_written_back, 1, "a new row lifts it, and it begins anew");
}

#[tokio::test]
async fn old_runs_are_pruned() {
    let world = World::new().await;
    sqlx::query(
        "INSERT INTO mana_ai.mission_runs (user_id, mission_id, slot, attempt, replica, started_at, finished_at, outcome)
         SELECT 'u', 'm', now(), 1, gen_random_uuid(), now() - make_interval(days => 12 - n / 1000), now(), 'planned'
         FROM generate_series(0, 11999) AS n",
    )
    .execute(&world.db.admin)
    .await
    .unwrap();
    let removed = async |days: u64| prune(&world.store, Duration::from_hours(24 * days)).await.unwrap();
    assert_eq!(removed(30).await, Pruned { removed: 0, more: false });
    assert_eq!(removed(5).await, Pruned { removed: 8000, more: false });
    assert_eq!(world.db.count("SELECT count(*) FROM mana_ai.mission_runs").await, 4000);
}

/// Nothing is due any more that could show it: `/ready` finds out all the same.
#[tokio::test]
async fn a_mended_key_is_noticed_without_a_mission() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(raw(401));
    world.tick().await;
    device.edit_mission("m1", json!({ "state": "paused" }), now()).await.unwrap();
    world.tick().await;
    assert!(world.runner.readiness().await.is_err(), "still wrong");
    world.llm.behave(Behaviour::Plan);
    assert_eq!(world.tick().await.due_mission_count, 0);
    assert!(world.runner.readiness().await.is_ok(), "one tiny call told");
    let calls = world.llm.requests().len();
    world.tick().await;
    assert_eq!(world.llm.requests().len(), calls, "and no more of them");
}
