//! The results: printed as they come, then docs/benchmarks.md and a plot.

use std::fmt::Write as _;
use std::path::Path;

use mana_ai::demo::database::Server;
use sqlx::{ConnectOptions, Connection};

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
        let machine =
            format!("{date}, {cpus} cores of {model}, PostgreSQL {version} with fsync off, release build");
        eprintln!("{machine}");
        Self { machine, rows: Vec::new(), idle: Vec::new() }
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
        text += "\n![Idle tick against the length of the log](idle-tick.svg)\n";
        std::fs::create_dir_all(root.join("docs")).unwrap();
        std::fs::write(root.join("docs/benchmarks.md"), text).unwrap();
        std::fs::write(root.join("docs/idle-tick.svg"), self.plot()).unwrap();
    }

    /// Time against rows, the rows on a logarithmic axis.
    fn plot(&self) -> String {
        let highest = self.idle.iter().map(|(_, ms)| *ms).fold(5.0, f64::max) * 1.1;
        let x = |changes: u64| 70.0 + (changes as f64 / 10_000.0).log10() / 2.0 * 480.0;
        let y = |ms: f64| 250.0 - ms / highest * 210.0;
        let points: Vec<String> =
            self.idle.iter().map(|(n, ms)| format!("{:.1},{:.1}", x(*n), y(*ms))).collect();
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 300" font-family="sans-serif" font-size="12">
<rect width="600" height="300" fill="#fff"/>
<text x="20" y="24" font-size="14">Idle tick in ms against change rows (median of 50)</text>
<path d="M70 40V250H560" fill="none" stroke="#888"/>
<path d="M70 {0:.1}H560" stroke="#c33" stroke-dasharray="4"/><text x="480" y="{1:.1}" fill="#c33">bar: 5 ms</text>
<polyline points="{2}" fill="none" stroke="#258" stroke-width="2"/>
"##,
            y(5.0),
            y(5.0) - 5.0,
            points.join(" ")
        );
        for (changes, ms) in &self.idle {
            let (x, y) = (x(*changes), y(*ms));
            let _ = writeln!(
                svg,
                r##"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="#258"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{ms:.2}</text><text x="{x:.1}" y="270" text-anchor="middle">{changes}</text>"##,
                y - 10.0
            );
        }
        svg + "</svg>\n"
    }
}
