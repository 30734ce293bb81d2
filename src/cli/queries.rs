//! Commands that look and print.

use std::process::ExitCode;
use std::time::Duration;

use mana_ai::config::{self, Config};
use mana_ai::ops::explain;
use mana_ai::store::runs::{self, RunFilter};
use mana_ai::store::schedule::queries::{Quarantined, quarantined};
use mana_ai::telemetry::{self, Output};

use super::args::RunsArgs;
use super::{Failure, store};

pub async fn print_missions(user: &str, mission: Option<&str>) -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let missions = explain::inspect(&store(&config)?, user, mission).await?;
    if let (Some(mission), true) = (mission, missions.is_empty()) {
        return Err(format!("user {user} has no mission {mission}: no row of the log is about it").into());
    }
    println!("{}", serde_json::to_string_pretty(&missions)?);
    Ok(ExitCode::SUCCESS)
}

pub async fn check() -> Result<ExitCode, Failure> {
    let config = Config::from_env().inspect_err(|error| {
        error.0.iter().for_each(|fault| println!("✗ configuration  {fault}"));
    })?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let mut fine = true;
    mana_ai::ops::check::check(&config, |checked| {
        fine &= checked.is_fine();
        println!("{checked}");
    })
    .await;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Page by page: there may be many.
pub async fn print_quarantined() -> Result<ExitCode, Failure> {
    const PAGE: u32 = 1000;
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let store = store(&config)?;
    let mut all: Vec<Quarantined> = Vec::new();
    loop {
        let last = all.last().map_or(("", ""), |last| (&last.user_id, &last.mission_id));
        let page = quarantined(&store, last, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(ExitCode::SUCCESS);
        }
    }
}

pub async fn print_runs(args: RunsArgs) -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let store = store(&config)?;
    let filter = RunFilter {
        id: None,
        user_id: args.user,
        mission_id: args.mission,
        outcome: args.outcome,
        before: args.before,
    };
    let runs = runs::list(&store, &filter, args.limit).await?;
    println!("{}", serde_json::to_string_pretty(&runs)?);
    Ok(ExitCode::SUCCESS)
}

pub async fn healthcheck() -> Result<ExitCode, Failure> {
    let url = format!("http://127.0.0.1:{}/health", config::port()?);
    let client = mana_ai::http_client::builder().timeout(Duration::from_secs(3)).build()?;
    client.get(url).send().await?.error_for_status()?;
    Ok(ExitCode::SUCCESS)
}
