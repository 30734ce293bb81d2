//! The entry point: reads the command line, runs the command, and ends with its exit code.

mod cli;

/// glibc's allocator keeps what large missions leave: with it the process took three times what it held.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::ExitCode;

use clap::Parser as _;
use cli::args::{Cli, Command};
use cli::{Failure, commands, print, queries};
use mana_ai::config;

/// The exit code where the configuration is wrong, and so nothing was tried.
const EXIT_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error.into()),
    };
    let exit_code = runtime.block_on(run(command));
    // Does not wait for threads that are stuck in a system call, such as a name lookup that gets no answer.
    runtime.shutdown_background();
    exit_code.unwrap_or_else(|failure| report(&failure))
}

fn report(failure: &Failure) -> ExitCode {
    print::error_line(&failure.to_string());
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
        Command::Prompt { user, mission } => queries::print_prompt(&user, &mission).await,
        Command::Runs(args) => queries::print_runs(args).await,
        Command::Grant { to } => commands::grant(&to).await,
        Command::Check => queries::check().await,
        Command::Completions { shell } => queries::print_completions(shell),
        Command::Openapi => queries::print_openapi(),
        Command::Healthcheck => queries::healthcheck().await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => mana_ai::demo::run(args).await.map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "demo")]
        Command::EmbeddedPostgres => {
            mana_ai::demo::postgres::serve().await.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
    }
}
