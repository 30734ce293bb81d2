//! What no log line, span or error of the configuration may tell: keys, passwords, and words of a mission or an answer.

use std::process::Command;

use mana_ai::config::Config;
use mana_ai::demo::llm::Behaviour;
use serde_json::json;

use crate::app::process::{Serving, command, run, text};
use crate::inputs::{NOTES, link, note};
use crate::support::{KEY, World, due_mission, soon, with};
use crate::telemetry::collector::{Collector, Mood};
use crate::telemetry::traces::stop;

/// What must not be told, in places where it could be.
fn planted(world: &World, collector: &Collector, args: &[&str]) -> Command {
    let mut command = command(world, args);
    let mut url = reqwest::Url::parse(&world.db.url).unwrap();
    // A server that trusts us takes any password; another one's own is the marker.
    if url.password().is_none() {
        url.set_password(Some("Geheimpasswort")).unwrap();
    }
    command
        .env("DATABASE_URL", url.as_str())
        .env("MANA_SERVICE_KEY", "Geheimschluessel")
        .env("RUST_LOG", "trace");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.replace("://", "://Geheimnutzer:Geheimwort@"));
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=Geheimkopf");
    command
}

/// One that is shown, and one that is too large to be read.
async fn write_linked_notes(world: &World) {
    let note = json!({ "title": "Geheimnotiz", "content": "Geheiminhalt" });
    world.device("alice").create(NOTES, "n1", note).await.unwrap();
    let large = json!({ "title": "Geheimnotiz", "content": { "Geheim": "Geheim ".repeat(10_000) } });
    world.device("alice").create(NOTES, "n2", large).await.unwrap();
}

fn tells_nothing(world: &World, what: &str, told: &str) {
    let url = reqwest::Url::parse(&world.db.url).unwrap();
    let password = url.password().filter(|password| password.len() > 8);
    for secret in ["Geheim", "R2VoZWlt", KEY].into_iter().chain(password) {
        let line = told.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in {what}: {line:?}");
    }
}

/// Neither a key, nor a password, nor a word of a mission or an answer: in no log at any level, in no span.
#[tokio::test]
async fn nothing_secret_is_told() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Takes).await);
    let words = json!({ "title": "Geheimtitel", "objective": "Geheimziel", "conceptMarkdown": "Geheimkonzept",
        "inputs": [{ "id": "Geheimlink", "module": "Geheimart", "table": "Geheimtabelle", "content": "Geheiminhalt" },
            note("n1"), note("Geheimlink"), note("n2")] });
    write_linked_notes(&world).await;
    let refused = json!({ "error": { "code": "context_length", "message": "Geheimantwort" } }).to_string();
    let answers = [
        Behaviour::Say("Geheimantwort".into()),
        Behaviour::Say(
            json!({ "summary": "Geheimantwort", "steps": [{ "toolName": "Geheimantwort" }] }).to_string(),
        ),
        Behaviour::Raw(400, vec![("x-hint", "Geheimkopf".into())], refused.into()),
        Behaviour::Raw(502, vec![], "Geheimantwort".into()),
        Behaviour::Raw(302, vec![("location", "http://127.0.0.1:1/Geheimziel".into())], Vec::new()),
        Behaviour::Break,
        Behaviour::Plan,
    ];
    let mut log = String::new();
    for (number, answer) in answers.into_iter().enumerate() {
        for format in ["json", "pretty"] {
            let data = with(due_mission(), words.clone());
            world.device("alice").create_mission(&format!("{format}{number}"), data).await.unwrap();
            world.llm.behave(answer.clone());
            let mut once = planted(&world, &collector, &["tick"]);
            once.env("LOG_FORMAT", format);
            let output = run(once).await;
            log += &(text(&output.stderr) + &text(&output.stdout));
        }
    }
    assert!(log.contains("mission done") && log.contains("mission not planned"), "{log}");
    let (prompt, key) = (&world.llm.requests()[0], "Bearer Geheimschluessel");
    assert!(prompt.body.to_string().contains("Geheimziel") && prompt.authorization == key);
    assert!(prompt.body.to_string().contains("Titel: Geheimnotiz"), "what is linked is in the prompt");
    tells_nothing(&world, "the log", &log);
    let taken = collector.taken();
    assert_eq!(taken.headers["x-api-key"], "Geheimkopf");
    assert!(taken.headers["authorization"].to_str().unwrap().starts_with("Basic "), "of the URL's user");
    assert!(taken.all("llm_call").len() >= 14);
    tells_nothing(&world, "a span", &String::from_utf8_lossy(&taken.raw));
}

/// Serving knows more places: headers of requests, and the ledger's.
#[tokio::test]
async fn nothing_secret_is_told_by_a_service() {
    let (world, collector) = (World::new().await, Collector::that(Mood::Takes).await);
    write_linked_notes(&world).await;
    let inputs = json!([note("n1"), note("Geheimlink"), note("n2"), link("Geheimart", "Geheim", "Geheim")]);
    let data = with(due_mission(), json!({ "title": "Geheimtitel", "inputs": inputs }));
    world.device("alice").create_mission("m1", data).await.unwrap();
    let serving = Serving::start(planted(&world, &collector, &["serve"])).await;
    soon(world.llm.arrived(1)).await;
    let client = mana_ai::http_client::builder().build().unwrap();
    for (path, key) in
        [("internal/tick?wait=true", "Geheimschluessel"), ("Geheimpfad?geheim=Geheim", "Geheimes")]
    {
        let url = format!("http://127.0.0.1:{}/{path}", serving.port);
        let request = client.post(url).header("x-service-key", key).body("Geheimrumpf");
        soon(request.send()).await.unwrap();
    }
    for path in
        ["missions?user=alice", "missions/alice/m1", "runs", "status", "quarantine", "openapi.json", "nope"]
    {
        let url = format!("http://127.0.0.1:{}/internal/{path}", serving.port);
        let request = client.get(url).header("x-service-key", "Geheimschluessel");
        tells_nothing(&world, path, &soon(request.send()).await.unwrap().text().await.unwrap());
    }
    for path in ["ready", "metrics"] {
        let url = format!("http://127.0.0.1:{}/{path}", serving.port);
        tells_nothing(&world, path, &soon(client.get(url).send()).await.unwrap().text().await.unwrap());
    }
    let log = stop(serving).await;
    tells_nothing(&world, "the log", &log);
    let taken = collector.taken();
    assert!(!taken.all("llm_call").is_empty());
    tells_nothing(&world, "a span", &String::from_utf8_lossy(&taken.raw));
}

#[test]
fn wrong_variables_are_named_without_their_secrets() {
    let vars = [
        ("LOG_FORMAT", "xml"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://Geheim@collector:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Geheim"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "parentbased_dice"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ];
    let get = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
    let told = Config::from_vars(get).unwrap_err().to_string();
    for fault in [
        "LOG_FORMAT=xml is not taken: it takes json or pretty",
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but not taken",
        "OTEL_EXPORTER_OTLP_HEADERS is set, but not taken",
        "OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not taken",
        "OTEL_TRACES_SAMPLER=parentbased_dice",
        "OTEL_TRACES_SAMPLER_ARG=2",
    ] {
        assert!(told.contains(fault), "{fault} is not in {told}");
    }
    assert!(!told.contains("Geheim"), "{told}");
}
