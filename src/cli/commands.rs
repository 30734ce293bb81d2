//! Commands that do something: serve, tick, set the database up.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use mana_ai::app::{self, Stopped};
use mana_ai::config::Config;
use mana_ai::store::{StoreError, access};
use mana_ai::telemetry::{self, Output};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, progress, store};

pub async fn serve() -> Result<ExitCode, Failure> {
    let mut config = Config::from_env()?;
    let _exporting = telemetry::log_and_trace(&mut config, Output::Stdout)?;
    let stop = stop_on_signal()?;
    let listener = app::listen(config.port).await?;
    Ok(match app::serve(config, listener, stop).await? {
        Stopped::Clean => ExitCode::SUCCESS,
        Stopped::CutOff => ExitCode::FAILURE,
    })
}

pub async fn tick() -> Result<ExitCode, Failure> {
    let mut config = Config::from_env()?;
    let watched = std::io::stderr().is_terminal();
    let output = if watched { Output::BesideBar } else { Output::Stderr };
    let _exporting = telemetry::log_and_trace(&mut config, output)?;
    let stop = stop_on_signal()?;
    let (_, runner) = app::runner(&config, stop.clone())?;
    let shown = watched.then(|| progress::show(&runner));
    let mut ticking = std::pin::pin!(runner.tick(true));
    let stats = tokio::select! {
        stats = &mut ticking => stats,
        () = stop.cancelled() => match app::drain(ticking, &runner, config.drain_timeout).await {
            (Some(stats), Stopped::Clean) => stats,
            _ => return Err("stopped before the tick was done".into()),
        },
    };
    drop(shown);
    println!("{}", serde_json::to_string_pretty(&stats)?);
    Ok(if stats.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub async fn migrate() -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let store = store(&config)?;
    let set_up = async {
        access::migrate(&store).await?;
        let _shown = std::io::stderr().is_terminal().then(|| progress::wait("building the index"));
        access::build_index(&store).await
    };
    match set_up.await {
        Err(StoreError::InsufficientPrivilege { reason, sql }) => {
            println!("{sql}");
            eprintln!(
                "mana-ai: {reason}. Let a login that owns sync_changes and may create roles run the SQL above \
                 (mana-ai migrate 2>/dev/null | psql …), then repeat this command"
            );
            Ok(ExitCode::FAILURE)
        }
        other => {
            other?;
            println!("the database is set up for mana-ai");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Cancelled by SIGTERM or Ctrl-C; a second one ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, Failure> {
    // Now, not in the task: as process 1 of a container a signal before this would be lost.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        told.cancel();
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(1);
    });
    Ok(stop)
}
