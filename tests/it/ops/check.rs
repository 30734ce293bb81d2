//! `mana-ai check` and the smaller commands, as operators run them.

use mana_ai::demo::database::SYNC_CHANGES;
use mana_ai::demo::llm::Behaviour;
use serde_json::{Value, json};
use sqlx::Executor;

use crate::app::process::{command, run, text};
use crate::support::{TestDb, World, due_mission, with};

async fn check(world: &World, vars: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut check = command(world, &["check"]);
    check.envs(vars.iter().copied());
    let output = run(check).await;
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test]
async fn all_is_well() {
    let world = World::new().await;
    let (code, told) = check(&world, &[]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with('✓')).count(), 8, "{told}");
    assert!(told.contains("stand-in/demo answered after "), "{told}");
    assert_eq!(world.llm.requests().len(), 1, "one tiny call");
}

/// Existing compose files name the database `SYNC_DATABASE_URL`; where both are set, `DATABASE_URL` counts.
#[tokio::test]
async fn the_name_of_existing_compose_files_is_taken() {
    let world = World::new().await;
    let note = "DATABASE_URL is not set, SYNC_DATABASE_URL is used in its place";
    let unreachable = "postgresql://nobody:hidden@127.0.0.1:1/none";
    for (url, sync_url, code, expected) in [
        (None, Some(world.db.url.as_str()), 0, note),
        (Some(""), Some(world.db.url.as_str()), 0, note),
        (Some(world.db.url.as_str()), Some(unreachable), 0, "every variable is taken\n"),
        (Some(unreachable), Some(world.db.url.as_str()), 1, "check DATABASE_URL"),
        (None, Some(unreachable), 1, "check SYNC_DATABASE_URL"),
        (None, Some("mysql://hidden"), 2, "✗ configuration  SYNC_DATABASE_URL is set, but not taken"),
        (None, None, 2, "DATABASE_URL, or in its place SYNC_DATABASE_URL, is not set"),
    ] {
        let mut check = command(&world, &["check"]);
        check.env_remove("DATABASE_URL");
        check.envs(url.map(|url| ("DATABASE_URL", url)));
        check.envs(sync_url.map(|url| ("SYNC_DATABASE_URL", url)));
        let output = run(check).await;
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.code() == Some(code) && told.contains(expected), "{expected}: {told}");
        let stands_in = url.is_none_or(str::is_empty) && code != 2;
        assert!(!told.contains("hidden") && told.contains(note) == stands_in, "{told}");
    }
    let mut tick = command(&world, &["tick"]);
    tick.env_remove("DATABASE_URL").env("SYNC_DATABASE_URL", &world.db.url);
    let output = run(tick).await;
    assert!(output.status.success() && text(&output.stderr).contains(note), "{}", text(&output.stderr));
}

/// Each fault with the way to mend it, and what can be looked at in spite of it.
#[tokio::test]
async fn every_fault_is_named() {
    let world = World::new().await;
    for (status, expected) in [(401, "MANA_SERVICE_KEY"), (404, "MANA_LLM_MODEL"), (500, "is it up?")] {
        world.llm.behave(Behaviour::Raw(status, vec![], "{}".into()));
        let (code, told) = check(&world, &[]).await;
        let wrong: Vec<&str> = told.lines().filter(|line| line.starts_with('✗')).collect();
        assert!(code == Some(1) && wrong.len() == 1 && wrong[0].contains(expected), "{told}");
    }
    world.llm.behave(Behaviour::Plan);
    for (harm, expected) in [
        ("DROP INDEX mana_ai_mission_changes", "✗ index          is missing"),
        (
            "DROP TABLE mana_ai.mission_runs",
            "the table mana_ai.mission_runs is missing: run `mana-ai migrate`",
        ),
        ("DROP POLICY mana_ai_missions_only ON sync_changes", "the policy mana_ai_missions_only is missing"),
        (
            "DROP TABLE sync_changes CASCADE",
            "✗ sync_changes   the table sync_changes is missing: mana-sync creates it",
        ),
    ] {
        world.db.admin.execute(harm).await.unwrap();
        let (code, told) = check(&world, &[]).await;
        assert!(code == Some(1) && told.contains(expected), "{harm}: {told}");
        assert!(told.contains("✓ mana-llm"), "{harm}: {told}");
    }
    let (code, told) =
        check(&world, &[("DATABASE_URL", "postgresql://nobody:hidden@127.0.0.1:1/none")]).await;
    assert!(code == Some(1) && told.contains("refused") && told.contains("check DATABASE_URL"), "{told}");
    assert!(!told.contains("hidden"), "{told}");
    let (code, told) = check(&world, &[("PORT", "x")]).await;
    assert!(code == Some(2) && told.contains("PORT=x is not taken"), "{told}");
}

#[tokio::test]
async fn migrate_mends_what_check_finds() {
    let world = World { db: TestDb::empty().await, ..World::new().await };
    world.db.admin.execute(SYNC_CHANGES).await.unwrap();
    assert_eq!(check(&world, &[]).await.0, Some(1));
    assert_eq!(run(command(&world, &["migrate"])).await.status.code(), Some(0));
    let (code, told) = check(&world, &[]).await;
    assert_eq!(code, Some(0), "{told}");
}

/// Their migrations are recorded as done, so only making the schema anew brings them back.
#[tokio::test]
async fn a_dropped_table_is_not_called_set_up() {
    let world = World::new().await;
    world.db.admin.execute("DROP TABLE mana_ai.mission_runs").await.unwrap();
    let output = run(command(&world, &["migrate"])).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("DROP SCHEMA mana_ai CASCADE"), "{}", text(&output.stderr));
    world.db.admin.execute("DROP SCHEMA mana_ai CASCADE").await.unwrap();
    assert_eq!(run(command(&world, &["migrate"])).await.status.code(), Some(0));
    assert_eq!(check(&world, &[]).await.0, Some(0));
}

#[tokio::test]
async fn runs_and_quarantine_are_printed() {
    let world = World::new().await;
    let device = world.device("alice");
    device.create_mission("m1", due_mission()).await.unwrap();
    device.create_mission("odd", with(due_mission(), json!({ "cadence": "never" }))).await.unwrap();
    world.tick().await;
    let printed = async |args: &[&str]| {
        let output = run(command(&world, args)).await;
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(printed(&["runs"]).await.as_array().unwrap().len(), 2);
    let planned = printed(&["runs", "--user", "alice", "--outcome", "planned", "--limit", "1"]).await;
    assert_eq!((&planned[0]["missionId"], &planned[0]["outcome"]), (&json!("m1"), &json!("planned")));
    let next = planned[0]["id"].as_i64().unwrap().to_string();
    let before = printed(&["runs", "--mission", "m1", "--before", &next]).await;
    assert_eq!(before, json!([]), "it was the only one");
    let kept: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert!(printed(&["openapi"]).await == kept);
    let unknown = run(command(&world, &["inspect", "--user", "alice", "--mission", "none"])).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("user alice has no mission none"), "{}", text(&unknown.stderr));
    let aside = printed(&["inspect", "--quarantined"]).await;
    assert_eq!((aside.as_array().unwrap().len(), &aside[0]["missionId"]), (1, &json!("odd")));
    let told = printed(&["inspect", "--user", "alice", "--mission", "m1"]).await;
    assert_eq!(told[0]["runs"][0]["outcome"], "planned", "why, and what was tried");

    for (args, expected) in [
        (&["runs", "--outcome", "nice"][..], "known are planned, slot-failed"),
        (&["inspect"], "--user"),
        (&["inspect", "--quarantined", "--user", "alice"], "cannot be used with"),
    ] {
        let output = run(command(&world, args)).await;
        assert!(
            output.status.code() == Some(2) && text(&output.stderr).contains(expected),
            "{}",
            text(&output.stderr)
        );
    }
}

#[tokio::test]
async fn shells_complete_it() {
    let world = World::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let output = run(command(&world, &["completions", shell])).await;
        let script = text(&output.stdout);
        assert!(script.contains("mana-ai") && script.contains("healthcheck"), "{shell}: {script}");
    }
}

/// On a terminal a bar while the log is folded, then what waits for the model; elsewhere nothing moves.
#[tokio::test]
async fn a_person_sees_progress() {
    let world = World::new().await;
    sqlx::query(
        "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
         SELECT 'ai', 'aiMissions', 'm' || n, 'u' || n % 100, 'insert', $1, '{}', 'web', now() - interval '1 day'
         FROM generate_series(1, 10000) AS n",
    )
    .bind(crate::support::mission(crate::support::now() + jiff::Span::new().hours(1)))
    .execute(&world.db.admin)
    .await
    .unwrap();
    world.device("alice").create_mission("due", due_mission()).await.unwrap();
    world.llm.behave(Behaviour::Late(std::time::Duration::from_millis(700)));
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut tick = command(&world, &["tick"]);
    tick.stderr(terminal.slave).env("TERM", "xterm");
    let seen = std::thread::spawn(move || {
        let (mut seen, mut master) = (Vec::new(), std::fs::File::from(terminal.master));
        // Ends with an error once nobody has the other side any more.
        let _ = std::io::Read::read_to_end(&mut master, &mut seen);
        text(&seen)
    });
    let output = run(tick).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).starts_with('{'), "{}", text(&output.stdout));
    let seen = seen.join().unwrap();
    assert!(seen.contains("folding the log") && seen.contains("/10001 rows"), "{seen}");
    assert!(seen.contains("0 planned, 1 at work or waiting for mana-llm"), "{seen}");

    let output = run(command(&world, &["tick"])).await;
    assert!(!text(&output.stderr).contains("planned,"), "{}", text(&output.stderr));
}
