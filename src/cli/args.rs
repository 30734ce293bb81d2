//! What the command line takes. The doc comments are its help texts.

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
    /// What to do; `serve` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Serve HTTP on PORT and plan due missions every TICK_INTERVAL_MS
    Serve,
    /// Run one tick and print its stats as JSON; exit code 1 if it had any error
    Tick,
    /// Set the database up: roles, view, policy, grants, tables, index. Can be repeated
    Migrate,
    /// Let a login be the one of DATABASE_URL: print the SQL that it needs, and run it where the login of DATABASE_URL
    /// may; exit code 1 if it may not
    Grant {
        /// The login, which exists already
        #[arg(long, value_name = "LOGIN")]
        to: String,
    },
    /// Check configuration, database, roles, policies, index and mana-llm (with one tiny call), and print how to mend
    /// what is wrong; exit code 1 if anything is
    Check,
    /// Print a user's missions as the log tells them, and why each is due or not, as JSON
    Inspect {
        /// The user whose missions to print
        #[arg(long, required_unless_present = "quarantined")]
        user: Option<String>,
        /// Print this mission only, with its latest attempts
        #[arg(long)]
        mission: Option<String>,
        /// Print the quarantined missions of all users instead, and why each is set aside; nothing that a user wrote
        #[arg(long, conflicts_with_all = ["user", "mission"])]
        quarantined: bool,
    },
    /// Print what the model would be told of a mission now, without asking it. It holds the user's text, that of linked
    /// records included
    Prompt {
        /// The user whose mission it is
        #[arg(long)]
        user: String,
        /// The mission
        #[arg(long)]
        mission: String,
    },
    /// Print the latest attempts, newest first, as JSON; nothing that a user wrote
    Runs(RunsArgs),
    /// Print the completions of this command line for a shell
    Completions {
        /// The shell that is to read them
        shell: clap_complete::Shell,
    },
    /// Print the OpenAPI 3.1 description of the HTTP routes
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
    /// Print attempts at this user's missions only
    #[arg(long)]
    pub user: Option<String>,
    /// Print attempts at this mission only
    #[arg(long)]
    pub mission: Option<String>,
    /// Print attempts with this outcome only, such as planned or slot-failed
    #[arg(long, value_parser = outcome)]
    pub outcome: Option<RunOutcome>,
    /// Print attempts older than the one with this id only: the last id of a page leads to the next page
    #[arg(long)]
    pub before: Option<i64>,
    /// Print at most this many attempts
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

fn outcome(text: &str) -> Result<RunOutcome, String> {
    let known = || RunOutcome::VARIANTS.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>().join(", ");
    text.parse().map_err(|_| format!("known are {}", known()))
}
