//! Commands that do something: serve, run one tick, set the database up.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use mana_ai::app::{self, Stopped};
use mana_ai::config::Config;
use mana_ai::store::{StoreError, access};
use mana_ai::telemetry::{self, Exporting, Output};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, print, progress};

pub async fn serve() -> Result<ExitCode, Failure> {
    let (config, _exporting) = configure(Output::Stdout)?;
    let stop = stop_on_signal()?;
    let listener = app::listen(config.port).await?;
    Ok(match app::serve(config, listener, stop).await? {
        Stopped::Clean => ExitCode::SUCCESS,
        Stopped::CutOff => ExitCode::FAILURE,
    })
}

pub async fn tick() -> Result<ExitCode, Failure> {
    let on_terminal = std::io::stderr().is_terminal();
    let (config, _exporting) = configure(if on_terminal { Output::BesideBar } else { Output::Stderr })?;
    let stop = stop_on_signal()?;
    let (_, runner) = app::runner(&config, stop.clone())?;
    let shown = on_terminal.then(|| progress::show(&runner));
    let mut ticking = std::pin::pin!(runner.tick(true));
    let stats = tokio::select! {
        stats = &mut ticking => stats,
        () = stop.cancelled() => match app::drain(ticking, &runner, config.drain_timeout).await {
            (Some(stats), Stopped::Clean) => stats,
            _ => return Err("stopped before the tick was done".into()),
        },
    };
    drop(shown);
    print::json(&stats)?;
    Ok(if stats.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub async fn migrate() -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let store = app::open_store(&config)?;
    let set_up = async {
        access::migrate(&store).await?;
        let _shown = std::io::stderr().is_terminal().then(|| progress::wait("building the index"));
        access::build_index(&store).await
    };
    match set_up.await {
        Err(StoreError::InsufficientPrivilege { reason, who_may, sql }) => {
            let advice = "Let a login that owns sync_changes and may create roles run the SQL above \
                          (mana-ai migrate 2>/dev/null | psql …), then repeat this command";
            hand_over(&sql, &reason, advice, who_may)
        }
        other => {
            other?;
            print::line("the database is set up for mana-ai")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

pub async fn grant(login: &str) -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let store = app::open_store(&config)?;
    match access::grant_to(&store, login).await {
        Err(StoreError::InsufficientPrivilege { reason, who_may, sql }) => {
            let advice = "Let a login that may create roles run the SQL above \
                          (mana-ai grant --to … 2>/dev/null | psql …)";
            hand_over(&sql, &reason, advice, who_may)
        }
        other => {
            let sql = other?;
            print::line(&format!("{sql}-- {login} may be the login of DATABASE_URL"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints the SQL that another login is to run, and why.
fn hand_over(sql: &str, reason: &str, advice: &str, who_may: Option<String>) -> Result<ExitCode, Failure> {
    print::line(sql.trim_end())?;
    let who_may = who_may.map(|who| format!(". {who}")).unwrap_or_default();
    print::error_line(&format!("{reason}. {advice}{who_may}"));
    Ok(ExitCode::FAILURE)
}

/// The configuration, with logs and traces begun. The time to drain is without what the last spans may take: they
/// are sent when the returned [`Exporting`] is dropped, after the drain.
fn configure(output: Output) -> Result<(Config, Exporting), Failure> {
    let mut config = Config::from_env()?;
    let exporting = telemetry::log_and_trace(&config.telemetry, output, config.drain_timeout)?;
    if let Some(note) = config.service_key_note() {
        tracing::warn!("{note}");
    }
    config.drain_timeout -= exporting.reserved();
    Ok((config, exporting))
}

/// A token that SIGTERM or Ctrl-C cancels. A second signal ends the process at once.
fn stop_on_signal() -> Result<CancellationToken, Failure> {
    // Registered here and not in the task: a signal that arrives before the task runs would be ignored where this is
    // process 1 of a container.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let on_signal = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        on_signal.cancel();
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        std::process::exit(1);
    });
    Ok(stop)
}
