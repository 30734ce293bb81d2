//! The routes, over real HTTP.

use std::time::Duration;

use mana_ai::app;
use mana_ai::demo::llm::Behaviour;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::Executor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{KEY, TestDb, World, config, due_mission, soon};

/// The service of a world on a port of its own.
pub struct Served {
    pub base: String,
    client: Client,
    pub world: World,
    service: JoinHandle<Result<app::Stopped, app::StartError>>,
}

impl Served {
    pub async fn new() -> Self {
        Self::with(World::new().await, &[("TICK_ENABLED", "false")]).await
    }

    pub async fn with(world: World, vars: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let config = config(&world.db.url, world.llm.url(), vars);
        let service = tokio::spawn(app::serve(config, listener, world.stop.clone()));
        let client = mana_ai::http_client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { base, client, world, service }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn json(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let response = soon(request.send()).await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    async fn tick(&self, query: &str) -> Value {
        let request =
            self.request(Method::POST, &format!("/internal/tick{query}")).header("x-service-key", KEY);
        let (status, stats) = self.json(request).await;
        assert_eq!(status, StatusCode::OK, "{stats}");
        stats
    }
}

#[tokio::test]
async fn health_touches_nothing() {
    let db = TestDb::empty().await;
    let served = Served::with(World { db, ..World::new().await }, &[("TICK_ENABLED", "false")]).await;
    let (status, health) = served.json(served.request(Method::GET, "/health")).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "ok": true, "service": "mana-ai", "version": env!("CARGO_PKG_VERSION"), "tick": { "enabled": false, "running": false },
    });
    assert_eq!(health, expected);
}

#[tokio::test]
async fn ready_says_what_is_missing() {
    // Else the service would mend it.
    let served = Served::with(World::new().await, &[("MIGRATE_ON_START", "false")]).await;
    let ready = || async { served.json(served.request(Method::GET, "/ready")).await };
    assert_eq!(ready().await, (StatusCode::OK, json!({ "ready": true })));
    for (harm, reason) in [
        ("REVOKE INSERT ON sync_changes FROM mana_ai", "may not read and write sync_changes"),
        ("DROP POLICY mana_ai_schedule ON sync_changes", "no mission is seen"),
        ("DROP TABLE sync_changes CASCADE", "the table sync_changes is missing"),
    ] {
        served.world.db.admin.execute(harm).await.unwrap();
        // An answer counts for a second.
        let told = async {
            loop {
                let (status, body) = ready().await;
                if status == StatusCode::SERVICE_UNAVAILABLE
                    && body["reason"].as_str().unwrap().contains(reason)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon(told).await;
    }
}

/// However many ask, the database is asked once a second.
#[tokio::test]
async fn a_flood_of_probes_is_one_question() {
    let served = Served::with(World::new().await, &[("TICK_ENABLED", "false")]).await;
    let sessions = async || -> i64 {
        let of_this = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(of_this).fetch_one(&served.world.db.admin).await.unwrap()
    };
    let (before, began) = (sessions().await, std::time::Instant::now());
    let asked = (0..200).map(|_| served.json(served.request(Method::GET, "/ready")));
    for (status, body) in soon(futures_util::future::join_all(asked)).await {
        assert_eq!((status, body), (StatusCode::OK, json!({ "ready": true })));
    }
    // The start of the service opens some too.
    let allowed = 10 + began.elapsed().as_secs();
    // A session is counted when it has ended.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let opened = sessions().await - before;
    assert!(opened.unsigned_abs() <= allowed, "{opened} connections for 200 questions, {allowed} allowed");
}

#[tokio::test]
async fn ready_without_a_database() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let config = config("postgresql://nobody@127.0.0.1:1/none", world.llm.url(), &[]);
    let _service = tokio::spawn(app::serve(config, listener, world.stop.clone()));
    let client = mana_ai::http_client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let response = soon(client.get(format!("{base}/ready")).send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = response.text().await.unwrap();
    assert!(body.contains("database: ") && body.contains("refused"), "{body}");
    let response = soon(client.get(format!("{base}/health")).send()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "the service is up");
}

#[tokio::test]
async fn internal_paths_need_the_key() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    let wrong = format!("{KEY}x");
    for key in [None, Some(""), Some("wrong"), Some(wrong.as_str())] {
        for path in ["/internal/tick", "/internal", "/internal/", "/internal/unknown"] {
            for method in [Method::POST, Method::GET] {
                let request = served.request(method, path);
                let request =
                    key.into_iter().fold(request, |request, key| request.header("X-Service-Key", key));
                let (status, body) = served.json(request).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {key:?}");
                assert!(body["error"].is_string(), "{body}");
            }
        }
    }
    assert!(served.world.llm.requests().is_empty());
    assert_eq!(served.tick("").await["plansWrittenBack"], 1);
}

#[tokio::test]
async fn errors_are_json() {
    let served = Served::new().await;
    for (method, path, expected) in [
        (Method::GET, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/nope", StatusCode::NOT_FOUND),
        (Method::GET, "/internal/nope", StatusCode::NOT_FOUND),
        (Method::POST, "/health", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/internal/tick", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/internal/tick?wait=maybe", StatusCode::BAD_REQUEST),
    ] {
        let (status, body) = served.json(served.request(method, path).header("x-service-key", KEY)).await;
        assert_eq!(status, expected, "{path}");
        assert!(body["error"].is_string(), "{path}: {body}");
    }
}

#[tokio::test]
async fn large_bodies_are_not_read() {
    let served = Served::new().await;
    let request = served.request(Method::POST, "/internal/tick").header("x-service-key", KEY);
    let (status, body) = served.json(request.body("x".repeat(64 * 1024 + 1))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    let request = served.request(Method::POST, "/internal/tick").header("x-service-key", KEY);
    assert_eq!(served.json(request.body("x".repeat(1024))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_tick_that_overlaps_is_skipped_or_waits() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    served.world.llm.behave(Behaviour::Hold);
    let first = async { served.tick("").await };
    let others = async {
        served.world.llm.arrived(1).await;
        let (_, health) = served.json(served.request(Method::GET, "/health")).await;
        assert_eq!(health["tick"]["running"], true);
        let skipped = served.tick("").await;
        assert_eq!(skipped["errors"], json!(["overlap-skipped"]));
        assert_eq!(skipped["dueMissionCount"], 0);
        assert!(skipped["scannedAt"].is_string());
        let waiting = served.tick("?wait=true");
        let release = async { served.world.llm.behave(Behaviour::Plan) };
        tokio::join!(waiting, release).0
    };
    let (first, waited) = soon(async { tokio::join!(first, others) }).await;
    assert_eq!(
        (&first["plansWrittenBack"], &waited["dueMissionCount"], &waited["errors"]),
        (&json!(1), &json!(0), &json!([]))
    );
}

/// The client hangs up during the tick: the plan is written all the same.
#[tokio::test]
async fn a_tick_outlives_its_client() {
    let served = Served::new().await;
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    served.world.llm.behave(Behaviour::Hold);
    tokio::select! {
        _ = served.tick("") => panic!("the model holds its answer"),
        () = served.world.llm.arrived(1) => {}
    }
    served.world.llm.behave(Behaviour::Plan);
    // Waits its turn behind the first.
    assert_eq!(served.tick("?wait=true").await["dueMissionCount"], 0);
    assert_eq!(served.world.db.written().await.len(), 1);
}

/// mana-sync comes later: up, but not ready; then the loop begins by itself.
#[tokio::test]
async fn the_table_may_come_later() {
    let db = TestDb::empty().await;
    let world = World { db, ..World::new().await };
    let served = Served::with(world, &[("TICK_INTERVAL_MS", "200")]).await;
    let (status, body) = served.json(served.request(Method::GET, "/ready")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["reason"].as_str().unwrap().contains("sync_changes is missing"), "{body}");
    let stats = served.tick("?wait=true").await;
    assert!(stats["errors"][0].as_str().unwrap().contains("sync_changes is missing"), "{stats}");
    served.world.db.admin.execute(mana_ai::demo::database::SYNC_CHANGES).await.unwrap();
    served.world.device("alice").create_mission("m1", due_mission()).await.unwrap();
    soon(served.world.llm.arrived(1)).await;
    served.world.stop.cancel();
    soon(served.service).await.unwrap().unwrap();
    assert_eq!(served.world.db.written().await.len(), 1, "a stop lets the running mission finish");
}
