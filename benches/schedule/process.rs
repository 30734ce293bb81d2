//! Real processes: how fast they start, and how much memory they hold.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mana_ai::demo::database::Server;
use mana_ai::demo::llm::{Behaviour, StandIn};
use sqlx::Executor;

use crate::BINARY;
use crate::fill::{BenchDb, KEY};
use crate::report::Row;
use crate::row;

const PORT: u16 = 33_066;

/// Killed when dropped. Its log is read to the end, or a full pipe would stop it.
struct Service(Child, mpsc::Receiver<String>);

impl Service {
    fn start(database_url: &str, llm_url: &str, tick_enabled: bool) -> Self {
        let mut command = Command::new(BINARY);
        command.env("DATABASE_URL", database_url).env("MANA_SERVICE_KEY", KEY).env("MANA_LLM_URL", llm_url);
        command.env("PORT", PORT.to_string()).env("TICK_ENABLED", tick_enabled.to_string());
        command.env("TICK_CONCURRENCY", "64").env("RUST_LOG", "mana_ai=info");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        let (logged, lines) = mpsc::channel();
        std::thread::spawn(move || {
            log.lines().map_while(Result::ok).for_each(|line| drop(logged.send(line)))
        });
        Self(child, lines)
    }

    /// Reads the log until a line with this text.
    fn until_logged(&self, text: &str) {
        let found = self.1.iter().any(|line| line.contains(text));
        assert!(found, "the service ended before it logged {text}");
    }

    /// Resident memory in MiB.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Figure 6: From the start of the process to the first 200 of `/health`. Bound: a process that only prints
/// its version.
pub async fn start_to_health(server: &Server) -> Row {
    let db = BenchDb::empty(server, "start").await;
    let mut times: Vec<f64> = (0..15).map(|_| health_after(&db.url)).collect();
    times.sort_by(f64::total_cmp);
    let mut bare: Vec<f64> = (0..15).map(|_| version_after()).collect();
    bare.sort_by(f64::total_cmp);
    db.drop(server).await;
    row("start to the first /health", times[7], bare[7], "ms", "`mana-ai --version`", "≤ 20 ms")
}

fn health_after(url: &str) -> f64 {
    use std::io::{Read, Write};
    let began = Instant::now();
    let _service = Service::start(url, "http://127.0.0.1:1", true);
    loop {
        assert!(began.elapsed() < Duration::from_secs(10), "no answer");
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", PORT)) else { continue };
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        return began.elapsed().as_secs_f64() * 1000.0;
    }
}

fn version_after() -> f64 {
    let began = Instant::now();
    Command::new(BINARY).arg("--version").stdout(Stdio::null()).status().unwrap();
    began.elapsed().as_secs_f64() * 1000.0
}

/// Figure 5: At rest, after a rebuild of the whole log, after a thousand plans.
pub async fn memory(db: &BenchDb) -> Vec<Row> {
    let llm = StandIn::start(Behaviour::Late(Duration::from_millis(200))).await.unwrap();
    let service = Service::start(&db.url, llm.url(), false);
    service.until_logged("listening");
    std::thread::sleep(Duration::from_millis(500));
    let at_rest = service.resident();
    drop(service);

    db.admin.execute("TRUNCATE mana_ai.mission_schedule").await.unwrap();
    let service = Service::start(&db.url, llm.url(), true);
    tokio::task::block_in_place(|| service.until_logged(" tick "));
    let rebuilt = service.resident();

    let due = "INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
        SELECT 'ai', 'aiMissions', 'm-' || m, 'u-' || m / 10, 'update', '{\"nextRunAt\": \"2026-04-14T10:00:00.000Z\"}',
            '{\"nextRunAt\": \"2026-04-15T10:00:00.000Z\"}', 'web-1' FROM generate_series(0, 99900, 100) AS m";
    db.admin.execute(due).await.unwrap();
    let client = mana_ai::http_client::builder().build().unwrap();
    let tick =
        client.post(format!("http://127.0.0.1:{PORT}/internal/tick?wait=true")).header("x-service-key", KEY);
    let stats = tick.send().await.unwrap().text().await.unwrap();
    assert!(stats.contains("\"plansWrittenBack\":1000"), "{stats}");
    let planned = service.resident();
    vec![
        row("memory at rest", at_rest, 15.0, "MiB", "the bar", "≤ 15 MiB"),
        row("memory after the rebuild at 1 M", rebuilt, 64.0, "MiB", "the bar", "≤ 64 MiB"),
        row("memory after 1,000 plans", planned, 64.0, "MiB", "the bar", ""),
    ]
}
