//! What the command line takes; its doc comments are its help.

use clap::{Args, Parser, Subcommand};
use mana_ai::domain::run::RunOutcome;
use strum::VariantArray as _;

/// Plans users' due AI missions on the server, while no browser tab is open.
///
/// The configuration comes from environment variables; `.env.example` explains each. Without a
/// subcommand the service runs, as with `serve`.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What there is to do.
#[derive(Subcommand)]
pub enum Command {
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
pub struct RunsArgs {
    /// Only of this user
    #[arg(long)]
    pub user: Option<String>,
    /// Only of this mission
    #[arg(long)]
    pub mission: Option<String>,
    /// Only those that ended so
    #[arg(long, value_parser = outcome)]
    pub outcome: Option<RunOutcome>,
    /// Only those older than the one with this id: the next page
    #[arg(long)]
    pub before: Option<i64>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

fn outcome(text: &str) -> Result<RunOutcome, String> {
    let known = || RunOutcome::VARIANTS.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| format!("known are {}", known()))
}
