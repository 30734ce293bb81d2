//! `mana-ai check`: is everything there that the service needs? One line per part, with the way to mend it.

use std::fmt;
use std::time::Instant;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use crate::config::Config;
use crate::domain::run::Disposition;
use crate::llm::client::LlmClient;
use crate::planner::prompt;
use crate::store::{Store, StoreError, access, preflight};

/// A difference between this machine's clock and the database's that is reported, in seconds. Only log lines go by this
/// machine's clock.
const CLOCK_SECONDS: i64 = 30;

/// One part that the service needs, and whether it is as it should be.
#[derive(Debug)]
pub struct Checked {
    what: &'static str,
    found: Result<String, String>,
    /// It is as it should be, and could be better.
    is_warning: bool,
}

impl Checked {
    fn of(what: &'static str, found: Result<String, String>) -> Self {
        Self { what, found, is_warning: false }
    }

    fn warning(what: &'static str, told: String) -> Self {
        Self { what, found: Ok(told), is_warning: true }
    }

    /// Is the part as it should be?
    pub fn is_fine(&self) -> bool {
        self.found.is_ok()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, told) = match &self.found {
            Ok(told) if self.is_warning => ('!', told),
            Ok(told) => ('✓', told),
            Err(told) => ('✗', told),
        };
        write!(f, "{sign} {:<14} {told}", self.what)
    }
}

/// Checks each part, and calls `tell` with each result as soon as it is known. A part that cannot be checked, because
/// another one that it needs is missing, is left out.
pub async fn check(config: &Config, mut tell: impl FnMut(Checked)) {
    let note = config.database_url_note().map(|note| format!("; {note}")).unwrap_or_default();
    tell(Checked::of("configuration", Ok(format!("every variable is taken{note}"))));
    if let Some(note) = config.service_key_note() {
        tell(Checked::warning("service key", note));
    }
    match Store::new(config.database_url.expose_secret(), 2) {
        Ok(store) => {
            check_database(
                &store.behind_transaction_pooler(config.is_transaction_pooler),
                config.database_url_from,
                &mut tell,
            )
            .await
        }
        Err(error) => tell(Checked::of("database", Err(error.to_string()))),
    }
    tell(Checked::of("mana-llm", call(config).await));
}

async fn check_database(store: &Store, url_from: &str, tell: &mut impl FnMut(Checked)) {
    let survey = match access::survey(store).await {
        Ok(survey) => survey,
        Err(error) => return tell(Checked::of("database", Err(format!("{error}: check {url_from}")))),
    };
    tell(Checked::of("database", Ok(survey.server.clone())));
    if !survey.excess.is_empty() {
        tell(Checked::warning("login", survey.told_of_excess()));
    }
    let log = if survey.log { Ok("is there".into()) } else { Err(StoreError::NoSyncChanges.to_string()) };
    tell(Checked::of("sync_changes", log));
    if !survey.log {
        return;
    }
    let access = none_of(&survey.problems, "row security binds the service, and lets it work");
    tell(Checked::of("roles, policies", access));
    tell(Checked::of("own tables", none_of(&survey.missing_tables, "are there")));
    let index = if survey.index {
        Ok("is built".into())
    } else {
        Err(format!("is missing, the schedule follows slowly: {MIGRATE}"))
    };
    tell(Checked::of("index", index));
    if survey.problems.is_empty() && survey.missing_tables.is_empty() {
        tell(Checked::of("writing", writable(store).await));
    }
}

const MIGRATE: &str = "run `mana-ai migrate`";

/// `told` where there are no problems; else the problems, and how to mend those that we can mend. A problem that only
/// mana-sync or a superuser can mend says so itself.
fn none_of(problems: &[String], told: &str) -> Result<String, String> {
    if problems.is_empty() {
        return Ok(told.to_owned());
    }
    let is_ours = |problem: &String| !problem.contains("mana-sync") && !problem.contains("SUPERUSER");
    let mend = if problems.iter().any(is_ours) { format!(": {MIGRATE}") } else { String::new() };
    Err(format!("{}{mend}", problems.join("; ")))
}

/// Would the next tick be able to write? Tries what a tick tries before it asks any model.
async fn writable(store: &Store) -> Result<String, String> {
    let preflight = preflight(store).await.map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "the two clocks are compared")]
    let ahead = preflight.now.duration_since(Timestamp::now()).as_secs();
    Ok(match preflight.paused_since {
        Some(since) => {
            format!("would work, but the runner is paused since {}: POST /internal/resume", since.0)
        }
        None if ahead.abs() > CLOCK_SECONDS => {
            format!(
                "works; the database's clock is {ahead} s ahead of this machine's, and is the one that counts"
            )
        }
        None => "works".into(),
    })
}

/// Calls the model once, with the smallest prompt there is.
async fn call(config: &Config) -> Result<String, String> {
    let llm = LlmClient::from_config(config).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let mut cost = None;
    match llm.complete(&prompt::smallest(), &mut cost).await {
        Ok(_) => {
            let resolved = cost.and_then(|cost| cost.resolved_model);
            let model = resolved.unwrap_or_else(|| config.llm_model.clone());
            Ok(format!("{model} answered after {} ms", began.elapsed().as_millis()))
        }
        // Only what says nothing of its cause gets a guess at it.
        Err(error) if error.disposition() == Disposition::Transient => {
            Err(format!("{error}: is MANA_LLM_URL right, and is it up?"))
        }
        Err(error) => Err(error.to_string()),
    }
}
