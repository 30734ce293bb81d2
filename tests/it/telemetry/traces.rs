//! What operators see of a process: its traces at a collector, its log lines, its request ids.

use std::process::Command;
use std::time::{Duration, Instant};

use mana_ai::config::Config;
use mana_ai::demo::llm::Behaviour;
use mana_ai::planner::version::PROMPT_VERSION;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use reqwest::Response;
use serde_json::{Value, json};

use crate::app::process::{Serving, command, run, text};
use crate::support::{KEY, World, due_mission, soon};
use crate::telemetry::collector::{Collector, Mood, Taken, named};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn serve(world: &World, collector: &Collector) -> Command {
    let mut serve = command(world, &["serve"]);
    serve.env("TICK_ENABLED", "false").env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    serve
}

/// As a caller with a trace of its own.
async fn tick(serving: &Serving, headers: &[(&str, &str)]) -> Response {
    let client = mana_ai::http_client::builder().build().unwrap();
    let request = client
        .post(format!("http://127.0.0.1:{}/internal/tick?wait=true", serving.port))
        .header("x-service-key", KEY)
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    soon(request.send()).await.unwrap()
}

pub async fn stop(serving: Serving) -> String {
    serving.signal(Signal::SIGTERM);
    let (code, log) = serving.end().await;
    assert_eq!(code, Some(0), "{log}");
    log
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_tick_is_a_trace() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Takes).await);
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let mut serve = serve(&world, &collector);
    serve.env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=Geheim%2Ckopf");
    serve.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test%2Cblue,service.name=lost");
    serve.env("OTEL_SERVICE_NAME", "mana-ai-1");
    let serving = Serving::start(serve).await;
    assert_eq!(tick(&serving, &[("x-request-id", "ask-1")]).await.status(), 200);
    stop(serving).await;

    let taken = collector.taken();
    assert_eq!(taken.headers["x-api-key"], "Geheim,kopf");
    assert_eq!(taken.resource["service.name"], "mana-ai-1");
    assert_eq!(taken.resource["deployment.environment.name"], "test,blue");
    assert_eq!(taken.resource["service.version"], env!("CARGO_PKG_VERSION"));
    the_tree_is_right(&taken);
    the_spans_tell_enough(&taken);
    let parent = format!("00-{TRACE}-{}-01", hex(&taken.one("llm_call").span_id));
    assert_eq!(world.llm.requests()[0].traceparent, parent);
}

fn the_tree_is_right(taken: &Taken) {
    let request = taken.one("POST /internal/tick");
    let (tick, mission) = (taken.one("tick"), taken.one("mission"));
    assert_eq!(hex(&request.parent_span_id), CALLER);
    assert_eq!(taken.below(request), ["tick"]);
    for step in ["preflight", "refresh", "claim", "mission"] {
        assert!(taken.below(tick).contains(&step), "{step} is not in {:?}", taken.below(tick));
    }
    let mut steps = taken.below(mission);
    steps.sort_unstable();
    assert_eq!(steps, ["llm_call", "read", "write_once"]);
    // The mission is small, so it is kept during the call: the write asks whether it is as it was, and folds nothing.
    for (span, step) in [("read", "begin"), ("read", "fold_mission")]
        .into_iter()
        .chain(["begin", "is_last_word", "write_back", "end"].map(|step| ("write_once", step)))
    {
        let below = taken.below(taken.one(span));
        assert!(below.contains(&step), "{step} is not in {below:?}");
    }
    let traced = taken.spans.iter().filter(|span| hex(&span.trace_id) == TRACE);
    for span in traced.clone() {
        let parent = taken.spans.iter().find(|parent| parent.span_id == span.parent_span_id);
        assert!(parent.is_some() || span == request, "{} hangs in the air", span.name);
    }
    assert!(traced.count() > 15, "{:?}", taken.spans);
}

fn the_spans_tell_enough(taken: &Taken) {
    let request = taken.one("POST /internal/tick");
    assert_eq!(request.kind, SpanKind::Server as i32);
    let told = named(&request.attributes);
    assert_eq!(
        (&*told["method"], &*told["route"], &*told["status"], &*told["request_id"]),
        ("POST", "/internal/tick", "200", "ask-1")
    );
    let told = named(&taken.one("mission").attributes);
    assert_eq!(
        (&*told["mission_id"], &*told["user_id"], &*told["attempt"], &*told["outcome"]),
        ("m1", "alice", "1", "planned")
    );
    assert!(told.contains_key("slot") && told.contains_key("run_id"), "{told:?}");
    assert_eq!(told["prompt_version"], **PROMPT_VERSION);
    let call = taken.one("llm_call");
    assert_eq!(call.kind, SpanKind::Client as i32);
    let told = named(&call.attributes);
    assert_eq!((&*told["model"], &*told["resolved_model"]), ("mana/reasoning", "stand-in/demo"));
    assert_eq!((&*told["prompt_tokens"], &*told["completion_tokens"]), ("100", "50"));
    assert!(told["status"] == "200" && told["latency_ms"].parse::<u64>().is_ok(), "{told:?}");
}

/// One that fails is marked, up to the mission.
#[tokio::test]
async fn a_failed_call_is_an_error_in_its_trace() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Takes).await);
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Raw(500, vec![], "Geheimfehler".into()));
    let mut once = command(&world, &["tick"]);
    once.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    assert_eq!(run(once).await.status.code(), Some(1));
    let taken = collector.taken();
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
    let (call, mission) = (taken.one("llm_call"), taken.one("mission"));
    assert!(failed(call) && failed(mission), "{call:?} {mission:?}");
    let told = named(&call.attributes);
    assert_eq!((&*told["status"], &*told["error_kind"]), ("500", "server_fault"));
    assert!(taken.one("tick").parent_span_id.is_empty(), "nobody asked for it");
}

/// The SDK reads its sampler from the environment; without any such variable we are called mana-ai.
#[tokio::test]
async fn a_sampler_keeps_its_share() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Takes).await);
    for (sampler, share, ticks) in
        [("always_off", "1", 0), ("traceidratio", "0", 0), ("traceidratio", "1", 1)]
    {
        let mut once = command(&world, &["tick"]);
        once.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
        once.env("OTEL_TRACES_SAMPLER", sampler).env("OTEL_TRACES_SAMPLER_ARG", share);
        assert_eq!(run(once).await.status.code(), Some(0));
        assert_eq!(collector.taken().all("tick").len(), ticks, "{sampler} {share}");
    }
    assert_eq!(collector.taken().resource["service.name"], "mana-ai");
}

/// Without a collector there is no trace of ours; a caller's is handed on all the same.
#[tokio::test]
async fn a_trace_is_handed_on() {
    let world = World::new().await;
    for (mission, endpoint) in [("m1", None), ("m2", Some("http://127.0.0.1:1"))] {
        world.device("alice").create_mission(mission, due_mission()).await.unwrap();
        let mut serve = command(&world, &["serve"]);
        serve.env("TICK_ENABLED", "false").env("OTEL_SDK_DISABLED", "true");
        serve.envs(endpoint.map(|endpoint| ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)));
        let serving = Serving::start(serve).await;
        tick(&serving, &[]).await;
        let log = stop(serving).await;
        assert!(!log.contains("collector"), "{log}");
    }
    let told: Vec<_> = world.llm.requests().into_iter().map(|request| request.traceparent).collect();
    let handed_on = format!("00-{TRACE}-{CALLER}-01");
    assert_eq!(told, [handed_on.clone(), handed_on]);
}

/// Nor do spans that were not sent cost the service anything but memory, and that is bounded.
#[tokio::test]
async fn a_collector_that_hangs_holds_nothing_up() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Hangs).await);
    let mut serve = serve(&world, &collector);
    serve.env("OTEL_BSP_SCHEDULE_DELAY", "20").env("DRAIN_TIMEOUT_MS", "2000");
    let serving = Serving::start(serve).await;
    for mission in ["m1", "m2"] {
        world.device("alice").create_mission(mission, due_mission()).await.unwrap();
        assert_eq!(tick(&serving, &[]).await.status(), 200);
    }
    let began = Instant::now();
    let log = stop(serving).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}\n{log}", began.elapsed());
    assert_eq!(world.db.written().await.len(), 2);
}

/// Not per batch; and when it is well again.
#[tokio::test]
async fn a_collector_that_takes_nothing_is_told_once() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Refuses).await);
    let mut serve = serve(&world, &collector);
    serve.env("OTEL_BSP_SCHEDULE_DELAY", "20").env("OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
    serve.env("TICK_ENABLED", "true").env("TICK_INTERVAL_MS", "100");
    let serving = Serving::start(serve).await;
    soon(collector.asked(5)).await;
    collector.becomes(Mood::Takes);
    soon(collector.asked(3)).await;
    let log = stop(serving).await;
    assert_eq!(log.matches("the collector takes no spans").count(), 1, "{log}");
    assert_eq!(log.matches("the collector takes spans again").count(), 1, "{log}");
    assert!(log.contains("503"), "{log}");
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_without_its_password() {
    let world = World::new().await;
    let mut once = command(&world, &["tick"]);
    once.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://Geheimnutzer:Geheimwort@127.0.0.1:1")
        .env("RUST_LOG", "trace");
    let output = run(once).await;
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("the collector takes no spans") && log.contains("refused"), "{log}");
    assert!(!log.contains("Geheim"), "{log}");
}

/// A formatted message may hold a user's text. The panic happens in a process of its own, because the hook is the
/// process's: this test, run again with `PANIC_HERE` set.
#[test]
fn a_panic_is_logged_by_its_place() {
    if std::env::var_os(PANIC_HERE).is_some() {
        let config = Config::from_vars(|name| {
            let set = [("DATABASE_URL", "postgresql://nobody@host/none"), ("MANA_SERVICE_KEY", KEY)];
            set.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned())
        });
        mana_ai::telemetry::log(&config.unwrap().telemetry, mana_ai::telemetry::Output::Stderr);
        let text = "Geheimtext".to_owned();
        panic!("cannot slice {text}");
    }
    let mut this_test = Command::new(std::env::current_exe().unwrap());
    this_test.args(["--exact", "--nocapture", "telemetry::traces::a_panic_is_logged_by_its_place"]);
    let output = this_test.env(PANIC_HERE, "1").output().unwrap();
    let log = text(&output.stderr);
    assert!(log.contains("panicked place=tests/it/telemetry/traces.rs:"), "{log}");
    assert!(!log.contains("Geheimtext") && !log.contains("cannot slice"), "{log}");
}

const PANIC_HERE: &str = "MANA_AI_TEST_PANIC_HERE";

#[tokio::test]
async fn a_line_of_json_per_event() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let mut serve = command(&world, &["serve"]);
    serve.env("TICK_ENABLED", "false").env("LOG_FORMAT", "json").env("RUST_LOG", "trace");
    let serving = Serving::start(serve).await;
    tick(&serving, &[("x-request-id", "ask-1")]).await;
    let log = stop(serving).await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let done = lines.iter().find(|line| line["message"] == "mission done").unwrap();
    assert_eq!((&done["level"], &done["mission_id"]), (&json!("INFO"), &json!("m1")));
    assert!(done["elapsed_ms"].is_u64(), "{done}");
    let spans: Vec<_> = done["spans"].as_array().unwrap().iter().map(|span| &span["name"]).collect();
    assert_eq!(spans, ["request", "tick"]);
    let told = |line: &&Value| line["spans"][0]["request_id"] == "ask-1";
    assert!(lines.iter().filter(told).any(|line| line["message"] == "answered"), "{log}");
}

#[tokio::test]
async fn requests_have_ids() {
    let world = World::new().await;
    let mut serve = command(&world, &["serve"]);
    serve.env("TICK_ENABLED", "false");
    let serving = Serving::start(serve).await;
    let longest = "x".repeat(128);
    for sane in ["ask-1", longest.as_str()] {
        assert_eq!(tick(&serving, &[("x-request-id", sane)]).await.headers()["x-request-id"], sane);
    }
    let too_long = "x".repeat(129);
    let mut made = Vec::new();
    for other in ["", "two words", "Größe", too_long.as_str()] {
        let answer = tick(&serving, &[("x-request-id", other)]).await;
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert!(id.len() == 36 && !made.contains(&id), "{other}: {id}");
        made.push(id);
    }
    let client = mana_ai::http_client::builder().build().unwrap();
    for path in ["health", "nope", "internal/tick"] {
        let url = format!("http://127.0.0.1:{}/{path}", serving.port);
        assert!(soon(client.get(url).send()).await.unwrap().headers().contains_key("x-request-id"), "{path}");
    }
    let log = stop(serving).await;
    let tells = |id: &str| log.lines().any(|line| line.contains(&format!("request_id=\"{id}\"")));
    assert!(tells("ask-1") && made.iter().all(|id| tells(id)), "{log}");
}
