//! What a tick costs, each figure beside the bare SQL or the arithmetic that bounds it. Only the ratios
//! carry over to another machine. `cargo bench` writes docs/benchmarks.md and docs/idle-tick.svg.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod fill;
mod measure;
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
    report.idle_growth();
    report.write(Path::new(env!("CARGO_MANIFEST_DIR")));
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
