//! The command line: what to do, how to start and how to stop.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use mana_ai::config::{self, Config};
use mana_ai::service::Stopped;
use mana_ai::store::runs::{self, RunFilter, RunOutcome};
use mana_ai::store::{Store, StoreError, access, schedule};
use mana_ai::telemetry::{self, Output};
use mana_ai::{inspect, service};
use secrecy::ExposeSecret;
use strum::VariantArray as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Plans users' due AI missions on the server, while no browser tab is open.
///
/// The configuration comes from environment variables; `.env.example` explains each. Without a
/// subcommand the service runs, as with `serve`.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP on PORT and plan due missions every TICK_INTERVAL_MS
    Serve,
    /// Run one tick and print its stats as JSON; exit code 1 if it had any error
    Tick,
    /// Set the database up: roles, view, policy, grants, tables, index. May be repeated
    Migrate,
    /// Look whether everything is there: configuration, database, roles, policies, index, mana-llm (with one
    /// tiny call); exit code 1 if anything is not, with the way to mend it
    Check,
    /// Print a user's missions as the log tells them, and why each is due or not, as JSON
    Inspect {
        /// Whose missions
        #[arg(long, required_unless_present = "quarantined")]
        user: Option<String>,
        /// Only this one
        #[arg(long)]
        mission: Option<String>,
        /// Instead, the missions of all users that are set aside, and why; none of their text
        #[arg(long, conflicts_with_all = ["user", "mission"])]
        quarantined: bool,
    },
    /// Print the latest attempts, newest first, as JSON; none of the missions' text
    Runs(RunsArgs),
    /// Print the completions of this command line for a shell
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Print the description of the HTTP routes, OpenAPI 3.1
    Openapi,
    /// Ask the service on PORT for its health; exit code 1 if it does not answer. For containers
    Healthcheck,
    /// Show the whole pipeline with real data on this machine, in a few seconds
    #[cfg(feature = "demo")]
    Demo(mana_ai::demo::DemoArgs),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    EmbeddedPostgres,
}

#[derive(Args)]
struct RunsArgs {
    /// Only of this user
    #[arg(long)]
    user: Option<String>,
    /// Only of this mission
    #[arg(long)]
    mission: Option<String>,
    /// Only those that ended so
    #[arg(long, value_parser = outcome)]
    outcome: Option<RunOutcome>,
    /// Only those older than the one with this id: the next page
    #[arg(long)]
    before: Option<i64>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

fn outcome(text: &str) -> Result<RunOutcome, String> {
    let known = || RunOutcome::VARIANTS.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| format!("known are {}", known()))
}

/// The configuration is wrong: nothing was tried.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error.into()),
    };
    let done = runtime.block_on(run(command));
    // What is stuck in the system, such as a name that nobody resolves, must not hold up the end.
    runtime.shutdown_background();
    done.unwrap_or_else(|failure| report(&failure))
}

fn report(failure: &Failure) -> ExitCode {
    // Not with `eprintln!`, which panics if nobody reads any more.
    let _ = writeln!(std::io::stderr(), "mana-ai: {failure}");
    if failure.is::<config::ConfigError>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}

async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve => serve().await,
        Command::Tick => tick().await,
        Command::Migrate => migrate().await,
        Command::Inspect { user: Some(user), mission, .. } => print_missions(&user, mission.as_deref()).await,
        Command::Inspect { user: None, .. } => print_quarantined().await,
        Command::Runs(args) => print_runs(args).await,
        Command::Check => check().await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "mana-ai", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            println!("{}", mana_ai::http::openapi().to_pretty_json()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck => healthcheck().await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => mana_ai::demo::run(args).await.map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "demo")]
        Command::EmbeddedPostgres => {
            mana_ai::demo::postgres::serve().await.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
    }
}

/// Any error, on its way to the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve() -> Result<ExitCode, Failure> {
    let mut config = Config::from_env()?;
    let _exporting = telemetry::log_and_trace(&mut config, Output::Stdout)?;
    let stop = stop_on_signal()?;
    let listener = service::listen(config.port).await?;
    Ok(match service::serve(config, listener, stop).await? {
        Stopped::Clean => ExitCode::SUCCESS,
        Stopped::CutOff => ExitCode::FAILURE,
    })
}

async fn tick() -> Result<ExitCode, Failure> {
    let mut config = Config::from_env()?;
    let _exporting = telemetry::log_and_trace(&mut config, Output::Stderr)?;
    let stop = stop_on_signal()?;
    let (_, runner) = service::runner(&config, stop.clone())?;
    let mut ticking = std::pin::pin!(runner.tick(true));
    let stats = tokio::select! {
        stats = &mut ticking => stats,
        () = stop.cancelled() => match service::drain(ticking, &runner, config.drain_timeout).await {
            (Some(stats), Stopped::Clean) => stats,
            _ => return Err("stopped before the tick was done".into()),
        },
    };
    println!("{}", serde_json::to_string_pretty(&stats)?);
    Ok(if stats.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn migrate() -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    match access::migrate(&store(&config)?).await {
        Err(StoreError::MayNot { reason, sql }) => {
            println!("{sql}");
            eprintln!(
                "mana-ai: {reason}. Let a login that owns sync_changes and may create roles run the SQL above \
                 (mana-ai migrate 2>/dev/null | psql …), then repeat this command"
            );
            Ok(ExitCode::FAILURE)
        }
        other => {
            other?;
            access::build_index(&store(&config)?).await?;
            println!("the database is set up for mana-ai");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn print_missions(user: &str, mission: Option<&str>) -> Result<ExitCode, Failure> {
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let missions = inspect::inspect(&store(&config)?, user, mission).await?;
    println!("{}", serde_json::to_string_pretty(&missions)?);
    Ok(ExitCode::SUCCESS)
}

async fn check() -> Result<ExitCode, Failure> {
    let config = Config::from_env().inspect_err(|error| {
        error.0.iter().for_each(|fault| println!("✗ configuration  {fault}"));
    })?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let mut fine = true;
    mana_ai::check::check(&config, |checked| {
        fine &= checked.is_fine();
        println!("{checked}");
    })
    .await;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Page by page: there may be many.
async fn print_quarantined() -> Result<ExitCode, Failure> {
    const PAGE: u32 = 1000;
    let config = Config::without_key_from_env()?;
    telemetry::log(&config.telemetry, Output::Stderr);
    let store = store(&config)?;
    let mut all: Vec<schedule::Quarantined> = Vec::new();
    loop {
        let last = all.last().map_or(("", ""), |last| (&last.user_id, &last.mission_id));
        let page = schedule::quarantined(&store, last, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        all.extend(page);
        if is_last {
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(ExitCode::SUCCESS);
        }
    }
}

async fn print_runs(args: RunsArgs) -> Result<ExitCode, Failure> {
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

async fn healthcheck() -> Result<ExitCode, Failure> {
    let url = format!("http://127.0.0.1:{}/health", config::port()?);
    let client = mana_ai::client::builder().timeout(Duration::from_secs(3)).build()?;
    client.get(url).send().await?.error_for_status()?;
    Ok(ExitCode::SUCCESS)
}

fn store(config: &Config) -> Result<Store, service::StartError> {
    Store::new(config.database_url.expose_secret(), config.pool_size).map_err(service::StartError::Database)
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
