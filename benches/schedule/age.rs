//! An attempt without its call, against the age of its mission.

use mana_ai::demo::database::Server;
use mana_ai::demo::llm::{Behaviour, StandIn};

use crate::fill::BenchDb;
use crate::measure::median;
use crate::missions::{come_due, fill_newest, looked_at, read_and_insert, warm_up};
use crate::report::Row;
use crate::row;

/// Iterations of the mission, and how many of these missions are planned.
pub const AGES: [(i32, i32); 5] = [(30, 5), (100, 5), (300, 5), (1000, 3), (5000, 1)];
/// So many of the newest iterations have rows with all iterations so far: more than the look at the history opens.
const WHOLE: i32 = 100;
/// Milliseconds of an attempt without its call before missions were folded by their clocks, by iterations: each attempt read
/// all rows twice. Measured on 2 cores with PostgreSQL 15 and the same kind of rows; at 2,000 iterations it failed.
pub const BEFORE: [(i32, f64); 3] = [(100, 170.0), (500, 6000.0), (1000, 19400.0)];

/// One attempt at a mission of so many iterations. Bound: reading its newest row's data once, and inserting it once.
pub async fn attempt(server: &Server, iterations: i32, missions: i32) -> (Row, f64) {
    let db = BenchDb::empty(server, "age").await;
    fill_newest(&db, missions, iterations, 0, 900, WHOLE).await;
    let llm = StandIn::start(Behaviour::Plan).await.unwrap();
    let runner = db.runner(llm.url());
    looked_at(&db, &runner).await;
    warm_up(&db, &runner, 2).await;
    let mut bare = Vec::new();
    // One after the other: they must not share the processors.
    for mission in 1..=missions {
        come_due(&db, mission, mission).await;
        assert_eq!(runner.tick(true).await.plans_written_back, 1);
        bare.push(read_and_insert(&db, mission).await);
    }
    let attempts = "SELECT (extract(epoch FROM finished_at - started_at) * 1000 - latency_ms)::float8 FROM mana_ai.mission_runs
        WHERE mission_id LIKE 'm-%' AND outcome = 'planned'";
    let ours = median(sqlx::query_scalar(attempts).fetch_all(&db.admin).await.unwrap());
    drop(runner);
    db.drop(server).await;
    let bar = if iterations == 1000 { "≤ 4 ×" } else { "" };
    let name = format!("attempt without the call, {iterations} iterations");
    (row(name, ours, median(bare), "ms", "reading the newest row once and inserting it once", bar), ours)
}
