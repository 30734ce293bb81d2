//! `web/src/generated/`: the wire in TypeScript, made from our own types, so that both ends share one description.
//! `UPDATE_TYPES=1 cargo test --test it -- demo::types` writes the files; without the variable that test compares them.

mod schema;
mod tools;
pub mod wire;

use std::collections::BTreeMap;

use ts_rs::{Config, ExportError, TS};

use self::wire::{Actor, Mission, Proposal};
use crate::planner::tools::{TOOLS, Tool};
use crate::runner::stats::TickStats;

const NOTE: &str =
    "// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.\n";

/// Every file of `web/src/generated/` by its name.
///
/// # Errors
/// Where ts-rs cannot write into its folder of scratch files.
pub fn files() -> Result<BTreeMap<String, String>, ExportError> {
    let scratch = tempfile::tempdir()?;
    let config = Config::new().with_out_dir(scratch.path());
    Mission::export_all(&config)?;
    Proposal::export_all(&config)?;
    Actor::export_all(&config)?;
    Tool::export_all(&config)?;
    TickStats::export_all(&config)?;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(scratch.path())? {
        let entry = entry?;
        let text = std::fs::read_to_string(entry.path())?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), with_note(&text));
    }
    files.insert("ToolParams.ts".into(), format!("{NOTE}\n{}", tools::params(&TOOLS)));
    let index = index(&files);
    files.insert("tools.ts".into(), format!("{NOTE}\n{}", tools::list(&TOOLS)));
    files.insert("index.ts".into(), format!("{NOTE}\n{index}export {{ TOOLS }} from \"./tools\";\n"));
    files.insert("plan.schema.json".into(), format!("{:#}\n", schema::plan(&TOOLS)));
    Ok(files)
}

/// Ours instead of the line of ts-rs, which does not say how to make the file anew.
fn with_note(text: &str) -> String {
    let rest = text.split_once('\n').map_or(text, |(_, rest)| rest);
    format!("{NOTE}{rest}")
}

fn index(files: &BTreeMap<String, String>) -> String {
    let module = |file: &String| file.trim_end_matches(".ts").to_owned();
    files.keys().map(module).map(|name| format!("export type * from \"./{name}\";\n")).collect()
}
