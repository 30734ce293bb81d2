//! The command line: what to do, and how the process ends.

mod cli;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cli::args::{Cli, Command};
use cli::{Failure, commands, queries};
use mana_ai::config;

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
        Command::Serve => commands::serve().await,
        Command::Tick => commands::tick().await,
        Command::Migrate => commands::migrate().await,
        Command::Inspect { user: Some(user), mission, .. } => {
            queries::print_missions(&user, mission.as_deref()).await
        }
        Command::Inspect { user: None, .. } => queries::print_quarantined().await,
        Command::Runs(args) => queries::print_runs(args).await,
        Command::Check => queries::check().await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "mana-ai", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Openapi => {
            println!("{}", mana_ai::http::openapi().to_pretty_json()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Healthcheck => queries::healthcheck().await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => mana_ai::demo::run(args).await.map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "demo")]
        Command::EmbeddedPostgres => {
            mana_ai::demo::postgres::serve().await.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
    }
}
