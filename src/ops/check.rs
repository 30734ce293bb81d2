//! `mana-ai check`: is everything there that the service needs? One line for each part, with the way to mend
//! it.

use std::fmt;
use std::time::Instant;

use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use crate::config::Config;
use crate::domain::run::Disposition;
use crate::llm::client::LlmClient;
use crate::planner::prompt;
use crate::store::{Store, StoreError, access, preflight};

/// More than this between our clock and the database's is worth a word. Nothing goes by ours but log lines.
const CLOCK_SECONDS: i64 = 30;

/// One part, and how it is.
#[derive(Debug)]
pub struct Checked {
    what: &'static str,
    found: Result<String, String>,
}

impl Checked {
    fn of(what: &'static str, found: Result<String, String>) -> Self {
        Self { what, found }
    }

    /// Is it as it should be?
    pub fn is_fine(&self) -> bool {
        self.found.is_ok()
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, told) = match &self.found {
            Ok(told) => ('✓', told),
            Err(told) => ('✗', told),
        };
        write!(f, "{sign} {:<14} {told}", self.what)
    }
}

/// Looks at each part, handing on each line as it is known. What cannot be looked at, because of what is
/// missing before it, is left out.
pub async fn check(config: &Config, mut tell: impl FnMut(Checked)) {
    tell(Checked::of("configuration", Ok("every variable is taken".into())));
    match Store::new(config.database_url.expose_secret(), 2) {
        Ok(store) => check_database(&store, &mut tell).await,
        Err(error) => tell(Checked::of("database", Err(error.to_string()))),
    }
    tell(Checked::of("mana-llm", call(config).await));
}

async fn check_database(store: &Store, tell: &mut impl FnMut(Checked)) {
    let survey = match access::survey(store).await {
        Ok(survey) => survey,
        Err(error) => return tell(Checked::of("database", Err(format!("{error}: check DATABASE_URL")))),
    };
    tell(Checked::of("database", Ok(survey.server.clone())));
    let sql = "run `mana-ai migrate`";
    let log = if survey.log { Ok("is there".into()) } else { Err(StoreError::NoSyncChanges.to_string()) };
    tell(Checked::of("sync_changes", log));
    if !survey.log {
        return;
    }
    let fine = |problems: &[String], told: &str| {
        if problems.is_empty() {
            return Ok(told.to_owned());
        }
        // What is mana-sync's, or a superuser's, says so itself.
        let ours =
            problems.iter().any(|problem| !problem.contains("mana-sync") && !problem.contains("SUPERUSER"));
        Err(format!("{}{}", problems.join("; "), if ours { format!(": {sql}") } else { String::new() }))
    };
    tell(Checked::of(
        "roles, policies",
        fine(&survey.problems, "row security binds the service, and lets it work"),
    ));
    tell(Checked::of("own tables", fine(&survey.missing_tables, "are there")));
    let index = if survey.index {
        Ok("is built".into())
    } else {
        Err(format!("is missing, the schedule follows slowly: {sql}"))
    };
    tell(Checked::of("index", index));
    if survey.problems.is_empty() && survey.missing_tables.is_empty() {
        tell(Checked::of("writing", writable(store).await));
    }
}

async fn writable(store: &Store) -> Result<String, String> {
    let opening = preflight(store).await.map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "the two clocks are compared")]
    let ahead = opening.now.duration_since(Timestamp::now()).as_secs();
    Ok(match opening.paused_since {
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

/// One tiny call.
async fn call(config: &Config) -> Result<String, String> {
    let llm = LlmClient::from_config(config).map_err(|error| error.to_string())?;
    let began = Instant::now();
    match llm.complete(&prompt::smallest()).await {
        Ok(completion) => {
            let model = completion.resolved_model.unwrap_or_else(|| config.llm_model.clone());
            Ok(format!("{model} answered after {} ms", began.elapsed().as_millis()))
        }
        // Only what says nothing of its cause gets a guess at it.
        Err(error) if error.disposition() == Disposition::Transient => {
            Err(format!("{error}: is MANA_LLM_URL right, and is it up?"))
        }
        Err(error) => Err(error.to_string()),
    }
}
