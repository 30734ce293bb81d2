//! The stand-in for mana-sync over real HTTP: what a device gets of the log, and what not.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mana_ai::app;
use mana_ai::demo::llm::{Behaviour, StandIn};
use mana_ai::demo::sync::{SyncServer, SyncSettings};
use mana_ai::http_client;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::support::{KEY, TestDb, config, mission, now, soon};

/// The stand-in on a database of its own, and a client.
struct Sync {
    db: TestDb,
    server: SyncServer,
    http: Client,
}

impl Sync {
    async fn new() -> Self {
        Self::with(TestDb::ready().await, "http://127.0.0.1:9", None, None).await
    }

    async fn with(
        db: TestDb,
        service_url: &str,
        llm: Option<Arc<StandIn>>,
        web: Option<std::path::PathBuf>,
    ) -> Self {
        let settings = SyncSettings {
            database_url: db.url.clone(),
            service_url: service_url.into(),
            service_key: KEY.into(),
            llm,
            web,
        };
        let server = SyncServer::start(listener().await, settings).await.unwrap();
        Self { db, server, http: http_client::builder().build().unwrap() }
    }

    async fn post(&self, user: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.server.url())).bearer_auth(user);
        let request = request.header("content-type", "application/json").body(body.to_string());
        read(soon(request.send()).await.unwrap()).await
    }

    async fn get(&self, user: &str, path: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.server.url())).bearer_auth(user);
        read(soon(request.send()).await.unwrap()).await
    }

    async fn push(&self, user: &str, client_id: &str, changes: Vec<Value>) {
        let count = changes.len();
        let answer = self.post(user, "/sync/ai", &json!({ "clientId": client_id, "changes": changes })).await;
        assert_eq!(answer, (200, json!({ "accepted": count })));
    }

    async fn pull(&self, user: &str, query: &str) -> Vec<Value> {
        let (status, body) = self.get(user, &format!("/sync/ai?{query}")).await;
        assert_eq!(status, 200, "{body}");
        body["changes"].as_array().unwrap().clone()
    }

    /// Pulls pages of `limit` rows from `since` until one is not full.
    async fn pull_all(&self, user: &str, since: &str, limit: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = since.to_owned();
        loop {
            let page = self.pull(user, &format!("clientId=reader&limit={limit}{cursor}")).await;
            let is_last = page.len() < limit;
            if let Some(row) = page.last() {
                cursor = format!("&since={}&after={}", text(&row["created_at"]), text(&row["id"]));
            }
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Ids as a device makes them: they sort by `number`.
fn row_id(number: u128) -> Uuid {
    Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + number)
}

fn row(number: u128, record_id: &str, op: &str, data: Value) -> Value {
    json!({ "id": row_id(number), "table_name": "aiMissions", "record_id": record_id, "op": op, "data": data,
        "field_timestamps": {}, "actor": { "kind": "user" } })
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| text(&row["id"])).collect()
}

#[tokio::test]
async fn a_mission_made_over_http_is_planned_and_reaches_another_device() {
    let db = TestDb::ready().await;
    let llm = Arc::new(StandIn::start(Behaviour::Plan).await.unwrap());
    let (service, stop) = (listener().await, CancellationToken::new());
    let service_url = format!("http://{}", service.local_addr().unwrap());
    let settings = config(&db.url, llm.url(), &[("TICK_ENABLED", "false")]);
    let _service = AbortOnDropHandle::new(tokio::spawn(app::serve(settings, service, stop)));
    let sync = Sync::with(db, &service_url, Some(Arc::clone(&llm)), None).await;
    let run = json!({ "missionId": "m 1/ä" });

    let mission =
        crate::support::with(mission(now()), json!({ "cadence": { "kind": "manual" }, "nextRunAt": null }));
    sync.push("alice", "phone", vec![row(1, "m 1/ä", "insert", mission)]).await;
    assert_eq!(sync.post("bob", "/demo/run", &run).await.0, 404, "it is not his");
    let (status, planned) = sync.post("alice", "/demo/run", &run).await;
    assert_eq!((status, &planned["outcome"], &planned["reason"]), (200, &json!("planned"), &Value::Null));

    let laptop = sync.pull("alice", "clientId=laptop").await;
    let phone = sync.pull("alice", "clientId=phone").await;
    assert_eq!(ids(&laptop)[0], row_id(1).to_string());
    assert_eq!(phone, laptop[1..], "a device does not get its own rows");
    assert_eq!(sync.pull("bob", "clientId=laptop").await, Vec::<Value>::new());
    let written = &phone[0];
    let fields = ["app_id", "table_name", "record_id", "op", "client_id"].map(|field| text(&written[field]));
    assert_eq!(fields, ["ai", "aiMissions", "m 1/ä", "update", "mana-ai-runner"]);
    assert_eq!(written["data"]["iterations"][0]["id"], planned["iterationId"]);
    let time = text(&written["created_at"]);
    assert!(time.len() == "2026-11-21T10:00:01.123456Z".len() && time.ends_with('Z'), "{time}");
    time.parse::<Timestamp>().unwrap();

    let (status, refused) = sync.post("alice", "/demo/run", &run).await;
    assert!(status == 409 || refused["outcome"] == "skipped", "its plan is unread: {status} {refused}");
    let mut iterations = written["data"]["iterations"].clone();
    for step in iterations[0]["plan"].as_array_mut().unwrap() {
        step["proposalId"] = json!("p");
        step["status"] = json!("staged");
    }
    let mut staged = row(2, "m 1/ä", "update", json!({ "iterations": iterations }));
    staged["field_timestamps"] = json!({ "iterations": "2100-01-01T00:00:00.000Z" });
    sync.push("alice", "laptop", vec![staged]).await;
    let (_, again) = sync.post("alice", "/demo/run", &run).await;
    assert_eq!(again["outcome"], "planned", "{again}");

    let (_, asked) = sync.get("alice", "/demo/prompts").await;
    let prompts = asked["prompts"].as_array().unwrap();
    assert_eq!(prompts.len(), 2);
    assert!(text(&prompts[0]["messages"][1]["content"]).contains("Jeden Monat etwas ernten"));
}

#[tokio::test]
async fn row_security_decides_whose_rows_are_read_and_written() {
    let sync = Sync::new().await;
    let mut mine = row(1, "same", "insert", json!({ "title": "Alices" }));
    mine["user_id"] = json!("bob");
    sync.push("alice", "a", vec![mine]).await;
    // An id that is taken already, if by a row that he cannot see.
    sync.push("bob", "b", vec![row(1, "same", "insert", json!({ "title": "Bobs" }))]).await;
    sync.push("bob", "b", vec![row(2, "same", "insert", json!({ "title": "Bobs" }))]).await;
    let title = async |user: &str| {
        sync.pull(user, "clientId=x").await.iter().map(|row| row["data"]["title"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(title("alice").await, ["Alices"]);
    assert_eq!(title("bob").await, ["Bobs"]);
}

#[tokio::test]
async fn a_push_is_whole_and_may_be_repeated() {
    let sync = Sync::new().await;
    let good = || row(1, "m1", "insert", json!({ "title": "x" }));
    // Only Postgres sees that its jsonb cannot hold this.
    let bad = row(2, "m2", "insert", json!({ "title": "\0" }));
    let push = json!({ "clientId": "a", "changes": [good(), bad] });
    let (status, body) = sync.post("alice", "/sync/ai", &push).await;
    assert_eq!(status, 400, "{body}");
    assert_eq!(sync.pull("alice", "clientId=x").await.len(), 0);
    sync.push("alice", "a", vec![good()]).await;
    sync.push("alice", "a", vec![good(), row(3, "m3", "insert", json!({}))]).await;
    assert_eq!(ids(&sync.pull("alice", "clientId=x").await), [row_id(1).to_string(), row_id(3).to_string()]);
}

#[tokio::test]
async fn bad_input_is_told_what_is_wrong() {
    let sync = Sync::new().await;
    let with = |field: &str, value: Value| {
        let mut row = row(1, "m1", "update", json!({}));
        row[field] = value;
        json!({ "clientId": "a", "changes": [row] })
    };
    for (body, status, told) in [
        (json!("x"), 400, "expected struct Push"),
        (json!({ "changes": [] }), 400, "clientId"),
        (json!({ "clientId": "", "changes": [] }), 400, "clientId is empty"),
        (with("id", json!("1")), 400, "changes[0].id"),
        (with("op", json!("upsert")), 400, "changes[0].op"),
        (with("data", json!([])), 400, "changes[0]: data is no object"),
        (with("data", Value::Null), 400, "data is no object"),
        (with("field_timestamps", json!("now")), 400, "field_timestamps is no object"),
        (with("actor", json!("me")), 400, "actor is no object"),
        (with("record_id", json!("")), 400, "record_id is empty"),
        (with("table_name", Value::Null), 400, "changes[0].table_name"),
        (
            json!({ "clientId": "a", "changes": vec![row(1, "m", "update", json!({})); 1001] }),
            413,
            "at most 1000",
        ),
    ] {
        let (got, answer) = sync.post("alice", "/sync/ai", &body).await;
        assert!(got == status && text(&answer["error"]).contains(told), "{told}: {got} {answer}");
    }
    for (query, told) in [
        ("", "clientId"),
        ("clientId=", "clientId is empty"),
        ("clientId=a&since=yesterday", "since"),
        ("clientId=a&since=2026-11-21T10:00:00.000001Z&after=x", "after"),
        ("clientId=a&after=01990000-0000-7000-8000-000000000001", "`after` needs `since`"),
        ("clientId=a&limit=0", "limit"),
        ("clientId=a&limit=many", "limit"),
    ] {
        let (status, answer) = sync.get("alice", &format!("/sync/ai?{query}")).await;
        assert!(status == 400 && text(&answer["error"]).contains(told), "{query}: {status} {answer}");
    }
    for path in ["/sync/ai?clientId=a", "/demo/prompts"] {
        let response = sync.http.get(format!("{}{path}", sync.server.url())).send().await.unwrap();
        assert_eq!(read(response).await.0, 401);
    }
    assert_eq!(sync.get("alice", "/demo/run").await.0, 405);
    assert_eq!(sync.get("alice", "/else").await.0, 404);
    let run = sync.post("alice", "/demo/run", &json!({ "missionId": "m1" })).await;
    assert_eq!(run.0, 503, "there is no service: {}", run.1);
    let mut large = sync.http.post(format!("{}/sync/ai", sync.server.url())).bearer_auth("alice");
    large = large.header("content-type", "application/json").body("x".repeat(16 * 1024 * 1024 + 1));
    assert_eq!(read(large.send().await.unwrap()).await.0, 413);
}

#[tokio::test]
async fn pages_of_rows_of_one_time_repeat_nothing_and_lose_nothing() {
    let sync = Sync::new().await;
    let rows = |numbers: std::ops::Range<u128>| {
        numbers.rev().map(|n| row(n, "m", "update", json!({ "n": n }))).collect()
    };
    sync.push("alice", "a", rows(0..25)).await;
    sync.push("alice", "a", rows(25..31)).await;
    let all = sync.pull_all("alice", "", 7).await;
    let numbers: Vec<u64> = all.iter().map(|row| row["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..31).collect::<Vec<u64>>());
    let times: BTreeSet<&str> = all.iter().map(|row| text(&row["created_at"])).collect();
    assert_eq!(times.len(), 2, "the rows of a push share created_at");
    let later = sync.pull("alice", &format!("clientId=x&since={}", times.first().unwrap())).await;
    assert_eq!(later.len(), 6, "without `after`, strictly later rows");
}

/// A row is visible from its COMMIT and sorted by its transaction's start. A cursor alone loses it; asking again for the
/// last seconds, as the page does, does not.
#[tokio::test]
async fn a_row_that_commits_late_is_found_by_asking_again_for_the_last_seconds() {
    let sync = Sync::new().await;
    let mut slow = sync.db.admin.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO sync_changes (id, app_id, table_name, record_id, user_id, op, client_id)
                 VALUES ($1, 'ai', 'aiMissions', 'm', 'alice', 'update', 'slow')",
    )
    .bind(row_id(1))
    .execute(&mut *slow)
    .await
    .unwrap();
    sync.push("alice", "a", vec![row(2, "m", "update", json!({}))]).await;
    let first = sync.pull_all("alice", "", 500).await;
    assert_eq!(ids(&first), [row_id(2).to_string()]);
    slow.commit().await.unwrap();

    let newest = text(&first[0]["created_at"]);
    let since = format!("&since={newest}&after={}", row_id(2));
    assert_eq!(sync.pull_all("alice", &since, 500).await, Vec::<Value>::new());
    let before = newest.parse::<Timestamp>().unwrap() - SignedDuration::from_secs(10);
    let again = sync.pull_all("alice", &format!("&since={before}"), 500).await;
    assert_eq!(ids(&again), [row_id(1).to_string(), row_id(2).to_string()]);
}

#[tokio::test]
async fn pulling_beside_eight_devices_that_push_misses_no_row() {
    const DEVICES: u128 = 8;
    const PUSHES: u128 = 12;
    let sync = Arc::new(Sync::new().await);
    let mut devices = tokio::task::JoinSet::new();
    for device in 0..DEVICES {
        let sync = Arc::clone(&sync);
        devices.spawn(async move {
            for push in 0..PUSHES {
                let first = (device * PUSHES + push) * 3;
                let rows = (first..first + 3).map(|n| row(n, "m", "update", json!({ "n": n }))).collect();
                sync.push("alice", &format!("device-{device}"), rows).await;
            }
        });
    }
    let mut seen = BTreeSet::new();
    let mut since = String::new();
    let mut is_over = false;
    loop {
        for row in sync.pull_all("alice", &since, 50).await {
            let newest: Timestamp = text(&row["created_at"]).parse().unwrap();
            since = format!("&since={}", newest - SignedDuration::from_secs(10));
            seen.insert(text(&row["id"]).to_owned());
        }
        if is_over {
            break;
        }
        while let Some(pushed) = devices.try_join_next() {
            pushed.unwrap();
        }
        is_over = devices.is_empty();
    }
    assert_eq!(seen.len() as u128, DEVICES * PUSHES * 3);
}

#[tokio::test]
async fn files_come_with_their_types_and_how_long_to_keep_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("assets")).unwrap();
    for name in ["index.html", "sw.js", "icon.svg", "app.webmanifest", "assets/a-1.js", "assets/a-1.css"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let web = Some(folder.path().to_owned());
    let sync = Sync::with(TestDb::ready().await, "http://127.0.0.1:9", None, web).await;
    let forever = "public, max-age=31536000, immutable";
    for (path, status, kind, caching) in [
        ("/", 200, "text/html; charset=utf-8", "no-cache"),
        ("/?user=alice", 200, "text/html; charset=utf-8", "no-cache"),
        ("/sw.js", 200, "text/javascript", "no-cache"),
        ("/icon.svg", 200, "image/svg+xml", "no-cache"),
        ("/app.webmanifest", 200, "application/manifest+json", "no-cache"),
        ("/assets/a-1.js", 200, "text/javascript", forever),
        ("/assets/a-1.css", 200, "text/css", forever),
        ("/assets/a-2.css", 404, "", "no-cache"),
        ("/..%2f..%2fetc%2fpasswd", 404, "", "no-cache"),
    ] {
        let response = sync.http.get(format!("{}{path}", sync.server.url())).send().await.unwrap();
        let header =
            |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(
            (response.status().as_u16(), &*header("content-type"), &*header("cache-control")),
            (status, kind, caching),
            "{path}"
        );
    }
}
