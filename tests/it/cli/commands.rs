//! The binary as operators run it: real processes, signals, exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;

use mana_ai::config::Config;
use mana_ai::demo::llm::Behaviour;
use nix::sys::signal::Signal;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::app::process::{Serving, binary, command, run, text};
use crate::support::{KEY, TestDb, World, due_mission, soon, with};

#[tokio::test]
async fn tick_prints_its_stats() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let output = run(command(&world, &["tick"])).await;
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &stats["plansWrittenBack"]), (Some(0), &json!(1)), "{stats}");

    world.device("alice").create_mission("m2", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Say("nein".into()));
    let output = run(command(&world, &["tick"])).await;
    assert_eq!(output.status.code(), Some(1), "any error: {}", text(&output.stdout));
}

#[tokio::test]
async fn inspect_prints_json() {
    let world = World::new().await;
    let data = with(due_mission(), json!({ "state": "paused" }));
    world.device("alice").create_mission("m1", data).await.unwrap();
    let output = run(command(&world, &["inspect", "--user", "alice", "--mission", "m1"])).await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told[0]["missionId"], &told[0]["due"], &told[0]["reason"]),
        (&json!("m1"), &json!(false), &json!("state is paused"))
    );
    assert_eq!(told[0]["record"]["title"], "Garten");
    assert!(told[0]["fieldTimestamps"]["title"].is_string());
    let output = run(command(&world, &["inspect", "--user", "nobody"])).await;
    assert_eq!(text(&output.stdout).trim(), "[]");
    let output = run(command(&world, &["inspect", "--user", ""])).await;
    assert_eq!(
        (output.status.code(), text(&output.stderr).trim()),
        (Some(1), "mana-ai: the user id is empty")
    );
}

#[tokio::test]
async fn migrate_and_healthcheck() {
    let world = World { db: TestDb::empty().await, ..World::new().await };
    let output = run(command(&world, &["migrate"])).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("sync_changes is missing"), "{}", text(&output.stderr));
    sqlx::Executor::execute(&world.db.admin, mana_ai::demo::database::SYNC_CHANGES).await.unwrap();
    for _ in 0..2 {
        let output = run(command(&world, &["migrate"])).await;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    let serving = Serving::start(command(&world, &[])).await;
    let mut healthcheck = command(&world, &["healthcheck"]);
    healthcheck.env("PORT", serving.port.to_string());
    assert_eq!(run(healthcheck).await.status.code(), Some(0));
    let mut nobody = command(&world, &["healthcheck"]);
    nobody.env("PORT", "1");
    let mut proxied = command(&world, &["healthcheck"]);
    proxied.env("PORT", serving.port.to_string()).env("HTTP_PROXY", "http://127.0.0.1:1");
    assert_eq!(run(proxied).await.status.code(), Some(0), "a proxy is not for loopback");
    assert_eq!(run(nobody).await.status.code(), Some(1));
    serving.signal(Signal::SIGTERM);
    assert_eq!(serving.end().await.0, Some(0));
}

#[tokio::test]
async fn bad_variables_are_all_named() {
    let world = World::new().await;
    let mut serve = command(&world, &["serve"]);
    serve
        .env_remove("MANA_SERVICE_KEY")
        .env("PORT", "seventy")
        .env("TICK_ENABLED", "maybe")
        .env("MANA_TIME_ZONE", "Mars");
    serve.env("DATABASE_URL", "mysql://secret@host/db");
    serve.env("MANA_LLM_URL", "ftp://x").env("TICK_INTERVAL_MS", "0").env("LEASE_MS", "60000");
    let output = run(serve).await;
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    for fault in [
        "MANA_SERVICE_KEY is not set",
        "DATABASE_URL is set, but not taken: it takes postgresql://",
        "PORT=seventy is not taken: it takes a whole number from 0 to 65535",
        "TICK_ENABLED=maybe is not taken: it takes true or false",
        "MANA_TIME_ZONE=Mars",
        "MANA_LLM_URL=ftp://x",
        "TICK_INTERVAL_MS=0",
        "LEASE_MS=60000 is not above MANA_LLM_TIMEOUT_MS=60000",
    ] {
        assert!(told.contains(fault), "{fault} is not in {told}");
    }
    assert!(!told.contains("secret"), "{told}");
}

/// A key that everybody can read is none; one that can be guessed is warned of, by the service and by `check`.
#[tokio::test]
async fn a_weak_service_key_is_named() {
    let good = "`openssl rand -hex 32` makes a good one";
    let world = World::new().await;
    for args in [["serve"], ["tick"], ["check"]] {
        for key in ["change-me", "'change-me'", " change-me "] {
            let (code, told) = run_with_key(&world, &args, key).await;
            assert_eq!(code, Some(2), "{args:?} {key}");
            assert!(told.contains("MANA_SERVICE_KEY is set, but not taken") && told.contains(good), "{told}");
        }
    }
    for (key, warned) in [("fifteen-letters", true), (KEY, false)] {
        for args in [["tick"], ["check"]] {
            let (code, told) = run_with_key(&world, &args, key).await;
            assert_eq!(code, Some(0), "{told}");
            let named = told.contains("MANA_SERVICE_KEY has 15 characters") && told.contains(good);
            assert!(named == warned && !told.contains(key), "{args:?} {key}: {told}");
            let fine = told.lines().filter(|line| line.starts_with('✓'));
            assert!(
                !fine.into_iter().any(|line| line.contains("MANA_SERVICE_KEY")),
                "no ✓ before a warning: {told}"
            );
        }
        let mut serve = command(&world, &["serve"]);
        serve.env("MANA_SERVICE_KEY", key);
        let serving = Serving::start(serve).await;
        serving.signal(Signal::SIGTERM);
        assert_eq!(serving.end().await.1.contains("MANA_SERVICE_KEY has 15 characters"), warned);
    }
}

async fn run_with_key(world: &World, args: &[&str], key: &str) -> (Option<i32>, String) {
    let mut command = command(world, args);
    command.env("MANA_SERVICE_KEY", key);
    let output = run(command).await;
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// One env file for a shell, which takes quotes off and stops at an unquoted `&`, and for `docker run`, which leaves
/// quotes where they are.
#[test]
fn an_env_file_may_be_quoted() {
    let url = "postgresql://u:p%26@host/db?sslmode=require&application_name=x";
    let parsed = |database_url: &str| {
        let vars = [("DATABASE_URL", database_url), ("MANA_SERVICE_KEY", KEY), ("MANA_LLM_MODEL", "\"a/b\"")];
        let get =
            |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        Config::from_vars(get).unwrap()
    };
    for value in [url.to_owned(), format!("'{url}'"), format!(" \"{url}\" ")] {
        let config = parsed(&value);
        assert_eq!((config.database_url.expose_secret(), config.llm_model.as_str()), (url, "a/b"), "{value}");
    }
    let sourced = "set -a; . ./.env.example; exec env";
    let output = Command::new("sh").args(["-euc", sourced]).env_clear().env("PATH", "/usr/bin:/bin").output();
    let output = text(&output.unwrap().stdout);
    let vars: BTreeMap<_, _> = output.lines().filter_map(|line| line.split_once('=')).collect();
    let get = |name: &str| vars.get(name).map(|value| (*value).to_owned());
    let faults = Config::from_vars(get).unwrap_err().0;
    assert!(faults.len() == 1 && faults[0].starts_with("MANA_SERVICE_KEY"), "{faults:?}");
}

#[test]
fn a_faulty_url_is_shown_without_its_password() {
    let vars = [("MANA_LLM_URL", "ftp://runner:geheim@mana-llm"), ("MANA_TIME_ZONE", "http://a:geheim@b")];
    let get = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
    let told = Config::from_vars(get).unwrap_err().to_string();
    assert!(told.contains("MANA_LLM_URL is set, but not taken: it takes an http or https URL"), "{told}");
    assert!(!told.contains("geheim"), "{told}");
}

/// The first signal: nothing new, what runs is finished, exit code 0.
#[tokio::test]
async fn a_stop_drains() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let world = World::new().await;
        world.device("alice").create_mission("m1", due_mission()).await.unwrap();
        world.llm.behave(Behaviour::Hold);
        let serving = Serving::start(command(&world, &["serve"])).await;
        soon(world.llm.arrived(1)).await;
        serving.signal(signal);
        // The listener closes first; then nobody can ask any more.
        let address = ("127.0.0.1", serving.port);
        soon(async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await
            }
        })
        .await;
        world.llm.behave(Behaviour::Plan);
        let (code, log) = serving.end().await;
        assert_eq!((code, world.db.written().await.len()), (Some(0), 1), "{log}");
    }
}

#[tokio::test]
async fn a_hung_model_does_not_hold_up_the_stop() {
    let world = World::new().await;
    world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Hang);
    let mut serve = command(&world, &["serve"]);
    serve.env("DRAIN_TIMEOUT_MS", "300");
    let serving = Serving::start(serve).await;
    soon(world.llm.arrived(1)).await;
    serving.signal(Signal::SIGTERM);
    let (code, log) = serving.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("dropped and given back"), "{log}");
    assert!(world.db.written().await.is_empty());
    let given_back =
        "SELECT count(*) FROM mana_ai.mission_schedule WHERE lease_token IS NULL AND attempts = 0";
    assert_eq!(world.db.count(given_back).await, 1, "{log}");
}

/// Neither the key, nor a password, nor a word of the mission or of the answer, at any log level.
#[tokio::test]
async fn logs_hold_no_secret_and_no_text() {
    let world = World::new().await;
    let words =
        json!({ "title": "Geheimtitel", "objective": "Geheimziel", "conceptMarkdown": "Geheimkonzept" });
    world.device("alice").create_mission("m1", with(due_mission(), words)).await.unwrap();
    for answer in [Behaviour::Say("Geheimantwort".into()), Behaviour::Plan] {
        world.llm.behave(answer);
        let mut tick = command(&world, &["tick"]);
        tick.env("RUST_LOG", "trace");
        let output = run(tick).await;
        let log = text(&output.stderr) + &text(&output.stdout);
        assert!(log.contains("tick"), "there is a log");
        for secret in ["Geheim", KEY] {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in {line:?}");
        }
    }
}

/// Nobody reads on, as in `mana-ai check | head -1`: no panic, and the exit code that the command has anyway. Any
/// other trouble with the output is an error.
#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let world = World::new().await;
    for args in [
        &["check"][..],
        &["tick"],
        &["migrate"],
        &["inspect", "--user", "alice"],
        &["inspect", "--quarantined"],
        &["runs"],
        &["openapi"],
        &["completions", "bash"],
        &["--help"],
    ] {
        let (nobody, printed) = std::io::pipe().unwrap();
        drop(nobody);
        let (code, told) = run_into(&world, args, printed).await;
        assert!(code == Some(0) && !told.contains("panicked") && !told.contains("pipe"), "{args:?}: {told}");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (code, told) = run_into(&world, &["openapi"], full).await;
    assert!(code == Some(1) && told.contains("No space left"), "{told}");
}

async fn run_into(
    world: &World,
    args: &[&str],
    stdout: impl Into<std::process::Stdio>,
) -> (Option<i32>, String) {
    let mut command = command(world, args);
    command.stdout(stdout).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    // Holds the other end of the pipe.
    drop(command);
    let output = soon(tokio::task::spawn_blocking(|| child.wait_with_output().unwrap())).await.unwrap();
    (output.status.code(), text(&output.stderr))
}

/// Each help text says what it is about: none is a lone word.
#[tokio::test]
async fn help_reads_well() {
    let world = World::new().await;
    for args in [&["--help"][..], &["inspect", "--help"], &["runs", "--help"], &["completions", "--help"]] {
        let help = text(&run(command(&world, args)).await.stdout);
        let options = help.lines().filter_map(|line| {
            let (option, text) = line.trim_start().split_once("  ")?;
            (option.starts_with('-') || option.starts_with('<')).then(|| text.trim())
        });
        for text in options.filter(|text| !text.starts_with('[')) {
            assert!(text.split(' ').count() > 1, "{args:?}: {text:?} in\n{help}");
        }
    }
}

/// `.env.example` lists exactly the variables that the code reads.
#[test]
fn the_example_lists_every_variable() {
    let read = Mutex::new(BTreeSet::from(["RUST_LOG".to_owned()]));
    let _ = Config::from_vars(|name| {
        read.lock().unwrap().insert(name.to_owned());
        None
    });
    let example = include_str!("../../../.env.example");
    let listed = example
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once('='))
        .map(|(name, _)| name);
    let listed: BTreeSet<String> = listed
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, read.into_inner().unwrap());
}

/// Both ways to a database, the embedded one as on a fresh machine; none is left behind.
#[tokio::test]
async fn the_demo_runs() {
    let world = World::new().await;
    for database_url in [Some(&world.db.url), None] {
        let mut demo = Command::new(binary());
        demo.arg("demo").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // A proxy of the environment is not for this machine.
        demo.env("HTTP_PROXY", "http://127.0.0.1:1");
        demo.envs(database_url.map(|url| ("DATABASE_URL", url)));
        let output = run(demo).await;
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{told}\n{}", text(&output.stderr));
        for expected in [
            "\"plansWrittenBack\": 2",
            "stages 0 of them again",
            "\"kind\": \"ai\"",
            "\"dueMissionCount\": 0",
            "on every device: 0 iterations",
            "from the log: 1 iteration",
            "Titel: Was ich mir vorgenommen habe",
            "Fortschritt 1 von 3 pro Woche",
        ] {
            assert!(told.contains(expected), "{expected} is not in {told}");
        }
        let (_, name) = told.split_once("database ").unwrap();
        let name = name.split(',').next().unwrap();
        let left = sqlx::query("SELECT FROM pg_database WHERE datname = $1")
            .bind(name)
            .fetch_optional(&world.db.admin);
        assert!(left.await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test]
async fn the_demo_fails_if_nothing_is_planned() {
    let world = World::new().await;
    let mut demo = command(&world, &["demo", "--llm-url", "http://127.0.0.1:1"]);
    demo.env_remove("MANA_LLM_URL");
    let output = run(demo).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("not what should have happened"), "{}", text(&output.stderr));
}
