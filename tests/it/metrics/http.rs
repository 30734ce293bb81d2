//! `/metrics` and the count of requests, over real HTTP.

use std::time::Duration;

use mana_ai::app;
use mana_ai::demo::llm::Behaviour;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

use super::{Figures, moved, parse};
use crate::support::{KEY, World, config, due_mission, soon, with};

/// A service on a port of its own, and its address.
pub async fn serve(database_url: &str, world: &World) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let config = config(database_url, world.llm.url(), &[("TICK_ENABLED", "false")]);
    tokio::spawn(app::serve(config, listener, world.stop.clone()));
    base
}

/// Status and body; with the service key.
pub async fn ask(method: Method, url: &str) -> (StatusCode, String) {
    let client = mana_ai::http_client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let response = soon(client.request(method, url).header("x-service-key", KEY).send()).await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let world = World::new().await;
    let base = serve(&world.db.url, &world).await;
    let before = parse(&ask(Method::GET, &format!("{base}/metrics")).await.1);
    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/health?a=b"),
        (Method::POST, "/health"),
        (Method::from_bytes(b"BREW").unwrap(), "/health"),
        (Method::GET, "/nope/5f1"),
        (Method::GET, "/internal/nope"),
        (Method::POST, "/internal/tick?wait=maybe"),
    ] {
        ask(method, &format!("{base}{path}")).await;
    }
    let client = mana_ai::http_client::builder().build().unwrap();
    soon(client.post(format!("{base}/internal/tick")).send()).await.unwrap();
    let after = parse(&ask(Method::GET, &format!("{base}/metrics")).await.1);
    let mut moved = moved(&before, &after);
    moved.retain(|line| line.starts_with("http_requests_total"));
    let expected = [
        r#"method="GET",route="/health",status="200"} +2"#,
        r#"method="GET",route="/metrics",status="200"} +1"#,
        r#"method="GET",route="unmatched",status="404"} +2"#,
        r#"method="POST",route="/health",status="405"} +1"#,
        r#"method="POST",route="/internal/tick",status="400"} +1"#,
        r#"method="POST",route="/internal/tick",status="401"} +1"#,
        r#"method="other",route="/health",status="405"} +1"#,
    ];
    assert_eq!(moved, expected.map(|line| format!("http_requests_total{{{line}")));
    let took = |figures: &Figures, labels| {
        figures[&format!("mana_ai_http_request_duration_seconds_count{{{labels}}}")]
    };
    assert_eq!(took(&after, r#"method="GET",route="/health""#), 2.);
}

/// A database that takes connections and never says a word, and a tick that waits for it.
#[tokio::test]
async fn metrics_answer_while_the_database_is_gone() {
    let world = World::new().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgresql://nobody@{}/none", silent.local_addr().unwrap());
    let base = serve(&url, &world).await;
    let tick = tokio::spawn({
        let url = format!("{base}/internal/tick");
        async move { ask(Method::POST, &url).await }
    });
    soon(async { drop(silent.accept().await.unwrap()) }).await;
    let url = format!("{base}/metrics");
    let answer = tokio::time::timeout(Duration::from_secs(1), ask(Method::GET, &url));
    let (status, text) = answer.await.expect("at once");
    assert_eq!(status, StatusCode::OK);
    assert!(parse(&text).contains_key("mana_ai_ticks_total"));
    tick.abort();
}

/// Whatever users, devices, models and strangers write: none of it is in a label.
#[tokio::test]
async fn nothing_of_any_user() {
    let marker = "MARKER";
    let world = World::with(&[("MAX_ATTEMPTS", "2"), ("BREAKER_FAILURES", "100")]).await;
    let device = world.device("user-MARKER");
    let text = json!({ "title": "MARKER", "objective": "MARKER", "conceptMarkdown": "MARKER" });
    for mission in ["MARKER-1", "MARKER-2"] {
        device.create_mission(mission, with(due_mission(), text.clone())).await.unwrap();
    }
    device.create_mission("MARKER-3", with(due_mission(), json!({ "nextRunAt": "MARKER" }))).await.unwrap();
    let resolved = vec![("x-mana-llm-resolved", "a plan for MARKER".to_owned())];
    let body = json!({ "choices": [{ "message": { "content": "MARKER" } }] }).to_string();
    world.llm.script([
        Behaviour::Raw(200, resolved, body.into()),
        Behaviour::Raw(
            400,
            vec![],
            json!({ "error": { "message": "MARKER", "code": "MARKER" } }).to_string().into(),
        ),
        Behaviour::Say("MARKER".into()),
    ]);
    world.tick().await;
    world.tick().await;
    let mut all = world.runner.exposition().unwrap();
    assert!(!all.contains(r#"model="other""#), "a sentence is no model's name");

    let base = serve(&world.db.url, &world).await;
    for path in ["/MARKER", "/internal/MARKER?MARKER", "/health?user=MARKER"] {
        ask(Method::from_bytes(b"MARKER").unwrap(), &format!("{base}{path}")).await;
    }
    all += &ask(Method::GET, &format!("{base}/metrics")).await.1;
    let found: Vec<&str> = all.lines().filter(|line| line.contains(marker)).collect();
    assert!(found.is_empty(), "{found:?}");
}
