//! The results: printed as they come, then docs/benchmarks.md and two plots.

use std::fmt::Write as _;
use std::path::Path;

use mana_ai::demo::database::Server;
use sqlx::{ConnectOptions, Connection};

use crate::plot;

/// One figure.
pub struct Row {
    pub name: String,
    pub ours: f64,
    pub bound: f64,
    pub unit: &'static str,
    /// What the bound is.
    pub what: &'static str,
    pub bar: &'static str,
}

pub struct Report {
    machine: String,
    rows: Vec<Row>,
    idle: Vec<(u64, f64)>,
    age: Vec<(i32, f64)>,
}

impl Report {
    pub async fn new(server: &Server) -> Self {
        let url = server.create_database("mana_ai_bench_report", None).await.unwrap();
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let mut db = options.connect().await.unwrap();
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut db).await.unwrap();
        db.close().await.unwrap();
        server.drop_database("mana_ai_bench_report").await.unwrap();
        let cpus = std::thread::available_parallelism().unwrap();
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
        #[expect(clippy::disallowed_methods, reason = "the date of the report")]
        let date = jiff::Zoned::now().date();
        // Whoever builds without the profile's optimisation over crates, as on a busy machine, says so.
        let lto = option_env!("CARGO_PROFILE_BENCH_LTO").unwrap_or("thin");
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown");
        let machine = format!(
            "{date}, {cpus} cores of {model} at a load of {load} when it began, PostgreSQL {version} with fsync off, release \
             build with lto {lto}"
        );
        eprintln!("{machine}");
        Self { machine, rows: Vec::new(), idle: Vec::new(), age: Vec::new() }
    }

    pub fn row(&mut self, row: Row) {
        let Row { name, ours, bound, unit, what, .. } = &row;
        println!("{name:52} {ours:10.2} {unit:3} = {:5.2} × {bound:.2} ({what})", ours / bound);
        self.rows.push(row);
    }

    pub fn rows(&mut self, rows: Vec<Row>) {
        rows.into_iter().for_each(|row| self.row(row));
    }

    pub fn idle_point(&mut self, changes: u64, ms: f64) {
        self.idle.push((changes, ms));
    }

    pub fn age_point(&mut self, iterations: i32, ms: f64) {
        self.age.push((iterations, ms));
    }

    /// What a hundredfold log does to an idle tick.
    pub fn idle_growth(&mut self) {
        let (Some((_, small)), Some((_, large))) = (self.idle.first(), self.idle.last()) else { return };
        let (ours, bound) = (*large, *small);
        let (name, what) = ("idle tick at 1 M against 10 k".into(), "the idle tick at 10 k");
        self.row(Row { name, ours, bound, unit: "ms", what, bar: "≤ 1.5 ×" });
    }

    pub fn write(&self, root: &Path) {
        let mut text = format!(
            "# Benchmarks\n\nWritten by `cargo bench`. {}.\n\nMachines are shared and noisy: only the ratios carry over. \
             Each figure stands beside what bounds it, measured in the same run.\n\n\
             | What | Ours | Bound | Ratio | Bar |\n|---|---:|---:|---:|---|\n",
            self.machine
        );
        for Row { name, ours, bound, unit, what, bar } in &self.rows {
            let _ = writeln!(
                text,
                "| {name} | {ours:.2} {unit} | {bound:.2} {unit} ({what}) | {:.2} × | {bar} |",
                ours / bound
            );
        }
        text += "\n![Idle tick against the length of the log](idle-tick.svg)\n\n\
            ![Attempt against the age of its mission](attempt-age.svg)\n";
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("docs/benchmarks.md"), text).unwrap();
        std::fs::write(root.join("docs/idle-tick.svg"), plot::idle(&self.idle)).unwrap();
        std::fs::write(root.join("docs/attempt-age.svg"), plot::age(&self.age)).unwrap();
    }
}
