//! What `/metrics` says: all of it from the start, the right figures, and nothing of any user.

mod dashboard;
mod http;

use std::collections::BTreeMap;
use std::time::Duration;

use mana_ai::demo::llm::Behaviour;
use mana_ai::domain::run::RunOutcome;
use mana_ai::runner::Runner;
use mana_ai::store::schedule::queries::counts;
use serde_json::json;
use sqlx::Executor;
use strum::VariantArray as _;

use crate::store::leases::expire_leases;
use crate::support::{World, due_mission, now, soon, with};

/// Series with their labels, and their values.
type Figures = BTreeMap<String, f64>;

fn parse(text: &str) -> Figures {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample =
        |line: &str| line.rsplit_once(' ').map(|(series, value)| (series.into(), value.parse().unwrap()));
    samples.map(|line| sample(line).unwrap()).collect()
}

fn figures(runner: &Runner) -> Figures {
    parse(&runner.exposition().unwrap())
}

/// By how much what counts has moved: not how long things took, and not what the process and the pool do.
fn moved(before: &Figures, after: &Figures) -> Vec<String> {
    let of_chance = ["_bucket", "_sum", "process_", "pool_connections", "due_", "comparison_age"];
    let changes = after.iter().map(|(series, value)| (series, value - before.get(series).unwrap_or(&0.)));
    let changes =
        changes.filter(|(series, by)| *by != 0. && !of_chance.iter().any(|part| series.contains(part)));
    changes.map(|(series, by)| format!("{} {by:+}", series.strip_prefix("mana_ai_").unwrap())).collect()
}

/// What moves while `what` happens, without what every tick moves.
async fn moved_by(runner: &Runner, what: impl Future<Output = ()>) -> Vec<String> {
    let before = figures(runner);
    soon(what).await;
    let mut moved = moved(&before, &figures(runner));
    moved.retain(|line| {
        !["tick", "refresh", "comparison", "schedule"].iter().any(|usual| line.starts_with(usual))
    });
    moved
}

fn raw(status: u16) -> Behaviour {
    Behaviour::Raw(status, vec![], "{}".into())
}

const LABELLED: [(&str, &[&str]); 8] = [
    ("lease_renewals_total", &[r#"result="renewed""#, r#"result="lost""#, r#"result="failed""#]),
    ("planner_request_duration_seconds_count", &[r#"model="none""#]),
    ("llm_tokens_total", &[r#"kind="prompt",model="none""#, r#"kind="completion",model="none""#]),
    ("breaker_state", &[r#"state="closed""#, r#"state="open""#, r#"state="half-open""#]),
    ("pool_connections", &[r#"state="idle""#, r#"state="used""#, r#"state="max""#]),
    ("build_info", &[concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")]),
    (
        "http_requests_total",
        &[
            r#"method="GET",route="/health",status="200""#,
            r#"method="GET",route="/ready",status="503""#,
            r#"method="POST",route="/internal/tick",status="200""#,
            r#"method="GET",route="unmatched",status="404""#,
        ],
    ),
    ("http_request_duration_seconds_count", &[r#"method="GET",route="/metrics""#]),
];

const UNLABELLED: [&str; 28] = [
    "ticks_total",
    "tick_duration_seconds_count",
    "ticks_broken_off_total",
    "ticks_skipped_total",
    "tick_interval_seconds",
    "missions_claimed_total",
    "plans_produced_total",
    "plans_written_back_total",
    "parse_failures_total",
    "mission_errors_total",
    "repairs_total",
    "slots_failed_total",
    "over_budget_total",
    "stale_writes_refused_total",
    "refresh_rows_total",
    "refresh_duration_seconds_count",
    "comparison_rows_total",
    "comparison_age_seconds",
    "schedule_mended_total",
    "due_missions",
    "oldest_due_slot_age_seconds",
    "quarantined_missions",
    "in_flight_missions",
    "in_flight_calls",
    "paused",
    "tick_duration_seconds_bucket{le=\"0.001\"}",
    "tick_duration_seconds_bucket{le=\"600\"}",
    "refresh_duration_seconds_bucket{le=\"+Inf\"}",
];

#[tokio::test]
async fn all_series_are_there_from_the_start() {
    let world = World::with(&[("DATABASE_POOL_SIZE", "7"), ("TICK_INTERVAL_MS", "1500")]).await;
    mana_ai::http::metrics::start_at_zero(world.runner.metrics(), &mana_ai::http::openapi());
    let figures = figures(&world.runner);
    for (route, status) in [("/internal/missions/{user}/{mission}/run", "409"), ("/internal/pause", "401")] {
        let series =
            format!(r#"mana_ai_http_requests_total{{method="POST",route="{route}",status="{status}"}}"#);
        assert_eq!(figures.get(&series), Some(&0.), "{series}");
    }
    let outcomes = RunOutcome::VARIANTS.iter();
    let outcomes = outcomes.map(|outcome| format!("attempts_total{{outcome=\"{}\"}}", outcome.as_str()));
    let labelled =
        LABELLED.iter().flat_map(|(name, all)| all.iter().map(move |of| format!("{name}{{{of}}}")));
    for series in UNLABELLED.map(str::to_owned).into_iter().chain(outcomes).chain(labelled) {
        let value = figures.get(&format!("mana_ai_{series}"));
        let expected = match series.as_str() {
            "pool_connections{state=\"max\"}" => 7.,
            "tick_interval_seconds" => 1.5,
            one if one.contains("build_info") || one.contains("closed") => 1.,
            _ => 0.,
        };
        assert_eq!(value, Some(&expected), "{series}");
    }
    for series in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(figures[series] > 0., "{series}");
    }
}

#[tokio::test]
async fn a_plan() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let before = figures(&world.runner);
    world.tick().await;
    let after = figures(&world.runner);
    let expected = [
        r#"attempts_total{outcome="planned"} +1"#,
        "comparison_rows_total +1",
        r#"llm_tokens_total{kind="completion",model="stand-in/demo"} +50"#,
        r#"llm_tokens_total{kind="prompt",model="stand-in/demo"} +100"#,
        "missions_claimed_total +1",
        r#"planner_request_duration_seconds_count{model="stand-in/demo"} +1"#,
        "plans_produced_total +1",
        "plans_written_back_total +1",
        "refresh_duration_seconds_count +1",
        "refresh_rows_total +1",
        "tick_duration_seconds_count +1",
        "ticks_total +1",
    ];
    assert_eq!(moved(&before, &after), expected);
    assert_eq!(after[r#"mana_ai_pool_connections{state="used"}"#], 0.);
    assert!(after[r#"mana_ai_pool_connections{state="idle"}"#] >= 1.);
}

#[tokio::test]
async fn failures() {
    let world = World::with(&[("BREAKER_FAILURES", "100"), ("MAX_ATTEMPTS", "3")]).await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let tick = || async { drop(world.tick().await) };
    world.llm.behave(raw(503));
    let failed = [
        r#"attempts_total{outcome="failed"} +1"#,
        "mission_errors_total +1",
        "missions_claimed_total +1",
        r#"planner_request_duration_seconds_count{model="none"} +1"#,
    ];
    assert_eq!(moved_by(&world.runner, tick()).await, failed);

    world.llm.behave(Behaviour::Say("nein".into()));
    let no_plan = [
        r#"attempts_total{outcome="failed"} +1"#,
        r#"llm_tokens_total{kind="completion",model="stand-in/demo"} +100"#,
        r#"llm_tokens_total{kind="prompt",model="stand-in/demo"} +200"#,
        "mission_errors_total +1",
        "missions_claimed_total +1",
        "parse_failures_total +1",
        r#"planner_request_duration_seconds_count{model="stand-in/demo"} +2"#,
        "repairs_total +1",
    ];
    assert_eq!(moved_by(&world.runner, tick()).await, no_plan);

    world.llm.behave(raw(500));
    let slot_failed = [
        r#"attempts_total{outcome="slot-failed"} +1"#,
        "mission_errors_total +1",
        "missions_claimed_total +1",
        r#"planner_request_duration_seconds_count{model="none"} +1"#,
        "slots_failed_total +1",
    ];
    assert_eq!(moved_by(&world.runner, tick()).await, slot_failed);
}

/// The mission is paused, or its lease taken, while the model thinks.
#[tokio::test]
async fn refused_writes() {
    let world = World::with(&[("TICK_CONCURRENCY", "1")]).await;
    let device = world.device("alice");
    for (mission, arrived, outcome) in [("m1", 1, "outdated"), ("m2", 2, "lease-lost")] {
        device.create_mission(mission, due_mission()).await.unwrap();
        world.llm.behave(Behaviour::Hold);
        let moved = moved_by(&world.runner, async {
            let tick = world.tick_in_background();
            world.llm.arrived(arrived).await;
            let at_work = figures(&world.runner);
            assert_eq!(at_work["mana_ai_in_flight_missions"], 1.);
            assert_eq!(at_work["mana_ai_in_flight_calls"], 1.);
            if outcome == "outdated" {
                device.edit_mission(mission, json!({ "state": "paused" }), now()).await.unwrap();
            } else {
                let taken = "UPDATE mana_ai.mission_schedule SET lease_token = gen_random_uuid()";
                world.db.admin.execute(taken).await.unwrap();
            }
            world.llm.behave(Behaviour::Plan);
            tick.await.unwrap();
        });
        let expected = [
            format!(r#"attempts_total{{outcome="{outcome}"}} +1"#),
            r#"llm_tokens_total{kind="completion",model="stand-in/demo"} +50"#.into(),
            r#"llm_tokens_total{kind="prompt",model="stand-in/demo"} +100"#.into(),
            "missions_claimed_total +1".into(),
            r#"planner_request_duration_seconds_count{model="stand-in/demo"} +1"#.into(),
            "plans_produced_total +1".into(),
            "stale_writes_refused_total +1".into(),
        ];
        assert_eq!(moved.await, expected);
    }
    assert!(world.db.written().await.is_empty());
}

#[tokio::test]
async fn a_lost_attempt_is_counted_by_its_finder() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    tick.abort();
    let _ = tick.await;
    let idle = figures(&world.runner);
    assert_eq!((idle["mana_ai_in_flight_missions"], idle["mana_ai_in_flight_calls"]), (0., 0.), "dropped");
    expire_leases(&world.db).await;
    world.llm.behave(Behaviour::Plan);
    let finder = world.replica(&[]);
    finder.tick(true).await;
    let figures = figures(&finder);
    assert_eq!(figures[r#"mana_ai_attempts_total{outcome="lost"}"#], 1.);
    assert_eq!(figures[r#"mana_ai_attempts_total{outcome="planned"}"#], 1.);
}

#[tokio::test]
async fn renewals() {
    let world = World::with(&[("LEASE_MS", "3000"), ("MANA_LLM_TIMEOUT_MS", "2999")]).await;
    let renewed = || figures(&world.runner)[r#"mana_ai_lease_renewals_total{result="renewed"}"#];
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    let once = async {
        while renewed() == 0. {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(once).await;
    world
        .db
        .admin
        .execute("UPDATE mana_ai.mission_schedule SET lease_token = gen_random_uuid()")
        .await
        .unwrap();
    soon(tick).await.unwrap();
    let figures = figures(&world.runner);
    assert_eq!(figures[r#"mana_ai_lease_renewals_total{result="lost"}"#], 1.);
    assert_eq!(figures[r#"mana_ai_attempts_total{outcome="lease-lost"}"#], 1.);
    assert_eq!(figures["mana_ai_stale_writes_refused_total"], 0., "there was no plan yet");
}

fn breaker(runner: &Runner) -> Vec<&'static str> {
    let figures = figures(runner);
    let at = |state: &&str| figures[&format!("mana_ai_breaker_state{{state=\"{state}\"}}")] == 1.;
    ["closed", "open", "half-open"].into_iter().filter(at).collect()
}

#[tokio::test]
async fn the_breaker_and_what_waits_behind_it() {
    let vars = [("BREAKER_FAILURES", "1"), ("BREAKER_PAUSE_MS", "1000"), ("TICK_CONCURRENCY", "1")];
    let world = World::with(&vars).await;
    for user in ["alice", "bob", "carol"] {
        world.device(user).create_mission("m1", due_mission()).await.unwrap();
    }
    world.llm.behave(raw(503));
    world.tick().await;
    assert_eq!(breaker(&world.runner), ["open"]);
    let waiting = figures(&world.runner);
    assert_eq!(waiting["mana_ai_due_missions"], 3., "the one that failed may be tried at once");
    assert!((59. ..120.).contains(&waiting["mana_ai_oldest_due_slot_age_seconds"]), "{waiting:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(breaker(&world.runner), ["half-open"]);
    world.llm.behave(Behaviour::Plan);
    world.tick().await;
    assert_eq!(breaker(&world.runner), ["closed"]);
    let done = figures(&world.runner);
    assert_eq!((done["mana_ai_due_missions"], done["mana_ai_oldest_due_slot_age_seconds"]), (0., 0.));
}

#[tokio::test]
async fn quarantine() {
    let world = World::new().await;
    let device = world.device("alice");
    let unplannable = with(due_mission(), json!({ "cadence": { "kind": "lunar" } }));
    device.create_mission("broken", unplannable).await.unwrap();
    device.create_mission("undated", with(due_mission(), json!({ "nextRunAt": "morgen" }))).await.unwrap();
    let moved = moved_by(&world.runner, async { drop(world.tick().await) }).await;
    let expected = [
        r#"attempts_total{outcome="quarantined"} +1"#,
        "mission_errors_total +2",
        "missions_claimed_total +1",
        "quarantined_missions +2",
    ];
    assert_eq!(moved, expected);
}

#[tokio::test]
async fn the_gauges_go_only_so_far() {
    let world = World::new().await;
    let many = "INSERT INTO mana_ai.mission_schedule (user_id, mission_id, next_run_at, change_count, quarantined, not_before)
        SELECT 'u' || n, 'm', now() - interval '1 hour', 1, n > 11000, CASE WHEN n > 11000 THEN 'infinity' ELSE '-infinity' END::timestamptz
        FROM generate_series(1, 22000) AS n";
    world.db.admin.execute(many).await.unwrap();
    let counts = counts(&world.store).await.unwrap();
    assert_eq!((counts.due, counts.quarantined, counts.oldest_age().as_secs() / 60), (10_000, 10_000, 60));
}

#[tokio::test]
async fn ticks_that_are_skipped_or_broken_off() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hold);
    let tick = world.tick_in_background();
    soon(world.llm.arrived(1)).await;
    world.runner.tick(false).await;
    assert_eq!(figures(&world.runner)["mana_ai_ticks_skipped_total"], 1.);
    world.llm.behave(Behaviour::Plan);
    soon(tick).await.unwrap();

    world.db.admin.execute("REVOKE INSERT ON sync_changes FROM mana_ai").await.unwrap();
    world.tick().await;
    let figures = figures(&world.runner);
    assert_eq!((figures["mana_ai_ticks_broken_off_total"], figures["mana_ai_ticks_total"]), (1., 2.));
}
