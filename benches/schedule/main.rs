//! What a tick costs, each figure beside the bare SQL or the arithmetic that bounds it. Only the ratios
//! carry over to another machine. `cargo bench` writes docs/benchmarks.md and its plots.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod age;
mod aged;
mod fill;
mod measure;
mod missions;
mod plot;
mod process;
mod report;
mod ticks;

use std::path::Path;

use mana_ai::demo::database::Server;

use crate::fill::BenchDb;
use crate::report::{Report, Row};

const BINARY: &str = env!("CARGO_BIN_EXE_mana-ai");
/// Change rows, ten per mission.
const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];

#[tokio::main]
async fn main() {
    // `cargo test --benches` calls this too; it only wants to know that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let server = Server::find(Path::new(BINARY)).await.unwrap();
    if std::env::args().any(|arg| arg == "due") {
        // Only this one, nothing is written: for whoever tunes it.
        let mut report = Report::new(&server).await;
        report.row(ticks::thousand_due(&server).await);
        report.row(ticks::backlog(&server).await);
        return;
    }
    if let Some(part) = std::env::args().skip_while(|arg| arg != "aged").nth(1) {
        // `cargo bench -- aged due` runs the parts with that word in their names; nothing is written.
        let part = if part == "--bench" { String::new() } else { part };
        let mut report = Report::new(&server).await;
        aged_missions(&server, &mut report, &part).await;
        return;
    }
    if std::env::args().any(|arg| arg == "ten-million") {
        // Twenty minutes and ten gigabytes, so only when asked for; nothing is written.
        ten_million(&server).await;
        return;
    }
    let mut report = Report::new(&server).await;

    report.row(process::start_to_health(&server).await);
    for size in SIZES {
        let db = BenchDb::filled(&server, size).await;
        let (row, ms) = ticks::idle(&db, size).await;
        report.row(row);
        report.idle_point(size, ms);
        if size == SIZES[SIZES.len() - 1] {
            report.row(ticks::hundred_new_rows(&db).await);
            report.row(ticks::rebuild(&db).await);
            report.row(ticks::reconcile(&db).await);
            report.rows(process::memory(&db).await);
        }
        db.drop(&server).await;
    }
    report.row(ticks::thousand_due(&server).await);
    report.row(ticks::backlog(&server).await);
    report.row(ticks::thousand_iterations(&server).await);
    aged_missions(&server, &mut report, "").await;
    report.idle_growth();
    report.write(Path::new(env!("CARGO_MANIFEST_DIR")));
}

/// The rows of which `part` is in the name.
async fn aged_missions(server: &Server, report: &mut Report, part: &str) {
    if "idle old".contains(part) {
        report.row(aged::idle_beside_an_old_mission(server).await);
    }
    if "idle many".contains(part) {
        report.row(aged::idle_beside_many_changes(server).await);
    }
    for (missions, iterations, bar) in [(100, 30, "≤ 23 ms"), (100, 200, "≤ 62 ms"), (10, 500, "≤ 123 ms")]
    {
        if format!("due {missions}x{iterations}").contains(part) {
            report.row(aged::due(server, missions, iterations, 10, bar).await);
        }
    }
    for (iterations, missions) in age::AGES {
        if format!("attempt {iterations}").contains(part) {
            let (row, ms) = age::attempt(server, iterations, missions).await;
            report.row(row);
            report.age_point(iterations, ms);
        }
    }
    if "plans".contains(part) {
        report.row(aged::plans_per_second(server).await);
    }
    if "rebuild".contains(part) {
        let (row, small) = aged::rebuild(server, 50_000, 1_000, None).await;
        report.row(row);
        report.row(aged::rebuild(server, 50_000, 100_000, Some(small)).await.0);
    }
}

/// The idle tick and the rebuild at ten million changes of a million missions, and the memory they take.
async fn ten_million(server: &Server) {
    let mut report = Report::new(server).await;
    for size in [SIZES[0], 10_000_000] {
        let db = BenchDb::filled(server, size).await;
        let (row, ms) = ticks::idle(&db, size).await;
        report.row(row);
        report.idle_point(size, ms);
        if size > SIZES[0] {
            report.row(ticks::rebuild(&db).await);
            report.rows(process::memory(&db).await);
        }
        db.drop(server).await;
    }
    report.idle_growth();
}

/// A figure of ours, and what bounds it.
fn row(
    name: impl Into<String>,
    ours: f64,
    bound: f64,
    unit: &'static str,
    what: &'static str,
    bar: &'static str,
) -> Row {
    Row { name: name.into(), ours, bound, unit, what, bar }
}
