//! Commands that only look, and print what they found.

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory as _;
use mana_ai::app;
use mana_ai::config::{self, Config};
use mana_ai::ops::explain;
use mana_ai::ops::prompt::prompt;
use mana_ai::planner::version::PROMPT_VERSION;
use mana_ai::store::Store;
use mana_ai::store::runs::{self, RunFilter};
use mana_ai::store::schedule::queries::{Quarantined, quarantined};
use mana_ai::telemetry::{self, Output};

use super::args::{Cli, RunsArgs};
use super::{Failure, print};

/// The store of a command that needs nothing but the database. Its log goes to standard error.
fn open_store() -> Result<Store, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    Ok(app::open_store(&config)?)
}

pub async fn print_missions(user: &str, mission: Option<&str>) -> Result<ExitCode, Failure> {
    let mut list = print::List::begin();
    explain::inspect(&open_store()?, user, mission, |inspected| list.item(&inspected)).await?;
    if let (Some(mission), true) = (mission, list.is_empty()) {
        return Err(format!("user {user} has no mission {mission}: no row of the log is about it").into());
    }
    list.end()?;
    Ok(ExitCode::SUCCESS)
}

/// As text, a heading per message, since it is for people to read.
pub async fn print_prompt(user: &str, mission: &str) -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let asked = prompt(&app::open_store(&config)?, &config.time_zone, user, mission).await?;
    print::error_line("this holds the user's text: keep it to yourself");
    print::line(&format!("# prompt version {}", *PROMPT_VERSION))?;
    for message in asked.0 {
        print::line(&format!("\n# {}\n\n{}", message.role, message.content.trim_end()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn check() -> Result<ExitCode, Failure> {
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            for fault in &error.0 {
                print::line(&format!("✗ configuration  {fault}"))?;
            }
            return Err(error.into());
        }
    };
    telemetry::log(&config.telemetry, Output::Stderr);
    let (mut fine, mut printed) = (true, Ok(()));
    mana_ai::ops::check::check(&config, |checked| {
        fine &= checked.is_fine();
        if printed.is_ok() {
            printed = print::line(&checked.to_string());
        }
    })
    .await;
    printed?;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads page by page, because there may be more missions than one answer of the database should hold.
pub async fn print_quarantined() -> Result<ExitCode, Failure> {
    const PAGE: u32 = 1000;
    let store = open_store()?;
    let mut all: Vec<Quarantined> = Vec::new();
    loop {
        let last = all.last().map_or(("", ""), |last| (&last.user_id, &last.mission_id));
        let page = quarantined(&store, last, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            print::json(&all)?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

pub async fn print_runs(args: RunsArgs) -> Result<ExitCode, Failure> {
    let filter = RunFilter {
        id: None,
        user_id: args.user,
        mission_id: args.mission,
        outcome: args.outcome,
        before: args.before,
    };
    print::json(&runs::list(&open_store()?, &filter, args.limit).await?)?;
    Ok(ExitCode::SUCCESS)
}

pub fn print_completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    // Through memory: `generate` panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mana-ai", &mut script);
    print::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub fn print_openapi() -> Result<ExitCode, Failure> {
    print::line(&mana_ai::http::openapi().to_pretty_json()?)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn healthcheck() -> Result<ExitCode, Failure> {
    let url = format!("http://127.0.0.1:{}/health", config::port()?);
    let client = mana_ai::http_client::builder().timeout(Duration::from_secs(3)).build()?;
    client.get(url).send().await?.error_for_status()?;
    Ok(ExitCode::SUCCESS)
}
