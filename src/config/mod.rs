//! Every environment variable of the service: its unit, its default, and the values that it takes.
//!
//! Nothing else reads the environment, with these exceptions: the logger reads `RUST_LOG`; the OpenTelemetry SDK
//! reads `OTEL_BSP_…`, `OTEL_SPAN_…`, `OTEL_TRACES_SAMPLER…` and its exporter `OTEL_EXPORTER_OTLP_…`, of which the
//! documented ones are checked here first ([`telemetry`]); the demo's Postgres looks for programs on `PATH`.

use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

mod reader;
pub mod telemetry;

use reader::{DAY_MS, Reader};

/// The whole configuration of the service. `.env.example` explains the variables to operators.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATABASE_URL`, or else `SYNC_DATABASE_URL`: the Postgres of mana-sync.
    pub database_url: SecretString,
    /// The name of the variable that `database_url` came from.
    pub database_url_from: &'static str,
    /// `DATABASE_POOL_SIZE`: the most connections open at once. None is held during a model call.
    pub pool_size: u32,
    /// `DATABASE_POOLER`: does the URL lead to a pooler in transaction mode, such as PgBouncer's?
    pub is_transaction_pooler: bool,
    /// `MIGRATE_ON_START`: set the database up at the start where it is not set up yet.
    pub migrate_on_start: bool,
    /// `MANA_SERVICE_KEY`: callers of `/internal` send it, and we send it to mana-llm. No default.
    pub service_key: SecretString,
    /// `MANA_LLM_API_KEY`: sent to mana-llm as `X-API-Key` in place of the service key, where it has a key set.
    pub llm_api_key: Option<SecretString>,
    /// `MANA_LLM_URL`: the base URL of mana-llm.
    pub llm_url: String,
    /// `MANA_LLM_MODEL`: `provider/model`, or an alias that mana-llm knows.
    pub llm_model: String,
    /// `MANA_LLM_TIMEOUT_MS`: the longest that one call of mana-llm may take, connection and body included.
    pub llm_timeout: Duration,
    /// `PORT`: the TCP port that HTTP listens on, on all addresses.
    pub port: u16,
    /// `TICK_ENABLED`: run the tick loop. Without it, only a request makes a tick.
    pub tick_enabled: bool,
    /// `TICK_INTERVAL_MS`: from the start of one tick of the loop to the start of the next.
    pub tick_interval: Duration,
    /// `TICK_CONCURRENCY`: the most missions that this process plans at once.
    pub concurrency: usize,
    /// `USER_CONCURRENCY`: the most missions of one user that all replicas together plan at once.
    pub user_concurrency: u32,
    /// `MAX_UNREAD_PER_USER`: the most plans of one user that may wait unread; `None` sets no bound.
    pub max_unread_per_user: Option<usize>,
    /// `CALLS_PER_USER_PER_DAY`: the most calls of mana-llm for the missions of one user in 24 hours; `None` sets no bound.
    pub calls_per_user_per_day: Option<u32>,
    /// `LEASE_MS`: how long a replica that no longer renews its lease keeps a mission.
    pub lease: Duration,
    /// `REFRESH_OVERLAP_MS`: how long a transaction of mana-sync may stay open and its rows still be found.
    pub refresh_overlap: Duration,
    /// `MANA_TIME_ZONE`: the zone of daily and weekly missions whose last slot implies no other.
    pub time_zone: TimeZone,
    /// `DRAIN_TIMEOUT_MS`: how long missions in flight may go on after a stop signal.
    pub drain_timeout: Duration,
    /// `MAX_ATTEMPTS`: charged attempts at a slot, after which the slot has failed.
    pub max_attempts: u32,
    /// `RETRY_MIN_MS`: the shortest backoff between two attempts.
    pub retry_min: Duration,
    /// `RETRY_MAX_MS`: the longest backoff between two attempts.
    pub retry_max: Duration,
    /// `BREAKER_FAILURES`: failures of mana-llm in a row that open the circuit breaker.
    pub breaker_failures: u32,
    /// `BREAKER_PAUSE_MS`: how long an open circuit breaker denies calls.
    pub breaker_pause: Duration,
    /// `RUN_RETENTION_DAYS`: how long the ledger keeps a run.
    pub run_retention: Duration,
    /// `LOG_FORMAT` and `OTEL_…`: how to log, and where spans go.
    pub telemetry: telemetry::Settings,
}

/// The variable of the database's URL.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// Existing compose files of mana-sync name the same database so. Read where [`DATABASE_URL`] is not set.
pub const SYNC_DATABASE_URL: &str = "SYNC_DATABASE_URL";

/// Everything that is wrong with the environment, one line per variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} fault(s):\n  {}\n.env.example explains every variable", .0.len(), .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

/// The service key in `.env.example`: a service that took it would be open to everybody.
const EXAMPLE_KEY: &str = "change-me";
/// A service key with fewer characters is warned of.
const SHORTEST_GOOD_KEY: usize = 16;

const DAY: Duration = Duration::from_millis(DAY_MS);

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// Every variable that is missing or has a value that cannot be used.
    pub fn from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// As [`Config::from_env`], for commands that neither serve nor call mana-llm: `MANA_SERVICE_KEY` may be
    /// missing.
    ///
    /// # Errors
    /// Every other variable that is missing or has a value that cannot be used.
    pub fn without_key_from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        Self::from_vars(|name| {
            if name == "MANA_SERVICE_KEY" { Some("unused".into()) } else { std::env::var(name).ok() }
        })
    }

    /// Reads variables through `get`. An empty value counts as not set.
    ///
    /// # Errors
    /// Every variable that is missing or has a value that cannot be used.
    pub fn from_vars(get: impl FnMut(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader::new(get);
        let (database_url_from, database_url) = read.secret_from(
            &[DATABASE_URL, SYNC_DATABASE_URL],
            "postgresql://user:password@host:5432/database",
            is_postgres_url,
        );
        let config = Self {
            database_url,
            database_url_from,
            pool_size: read.number("DATABASE_POOL_SIZE", 10, 2..=1000, "connections"),
            is_transaction_pooler: read.parsed(
                "DATABASE_POOLER",
                false,
                "none or transaction",
                is_transaction,
            ),
            migrate_on_start: read.flag("MIGRATE_ON_START", true),
            service_key: read.secret(
                "MANA_SERVICE_KEY",
                "the key that the services share, in visible ASCII, and not the example's change-me; \
                 `openssl rand -hex 32` makes a good one",
                |key| key != EXAMPLE_KEY && key.bytes().all(|byte| byte.is_ascii_graphic()),
            ),
            llm_api_key: read.hidden("MANA_LLM_API_KEY", "mana-llm's own key, in visible ASCII", |key| {
                key.bytes().all(|byte| byte.is_ascii_graphic()).then(|| SecretString::from(key))
            }),
            llm_url: read.url("MANA_LLM_URL", "http://localhost:3025"),
            llm_model: read.text("MANA_LLM_MODEL", "mana/reasoning"),
            llm_timeout: read.ms("MANA_LLM_TIMEOUT_MS", 60_000, 100..=DAY_MS),
            port: read.number("PORT", 3066, 0..=u16::MAX, "as a TCP port, 0 for a free one"),
            tick_enabled: read.flag("TICK_ENABLED", true),
            tick_interval: read.ms("TICK_INTERVAL_MS", 60_000, 100..=DAY_MS),
            concurrency: read.number("TICK_CONCURRENCY", 8, 1..=1024, "missions"),
            user_concurrency: read.number("USER_CONCURRENCY", 2, 1..=1024, "missions"),
            max_unread_per_user: read.bound("MAX_UNREAD_PER_USER", 1..=1000, "plans"),
            calls_per_user_per_day: read.bound("CALLS_PER_USER_PER_DAY", 1..=100_000, "calls"),
            lease: read.ms("LEASE_MS", 120_000, 1000..=DAY_MS),
            refresh_overlap: read.ms("REFRESH_OVERLAP_MS", 600_000, 0..=DAY_MS),
            time_zone: read.zone("MANA_TIME_ZONE", "Europe/Berlin"),
            drain_timeout: read.ms("DRAIN_TIMEOUT_MS", 25_000, 0..=DAY_MS),
            max_attempts: read.number("MAX_ATTEMPTS", 5, 1..=100, "attempts"),
            retry_min: read.ms("RETRY_MIN_MS", 30_000, 0..=DAY_MS),
            retry_max: read.ms("RETRY_MAX_MS", 1_800_000, 0..=DAY_MS),
            breaker_failures: read.number("BREAKER_FAILURES", 5, 1..=1000, "failures in a row"),
            breaker_pause: read.ms("BREAKER_PAUSE_MS", 30_000, 0..=DAY_MS),
            run_retention: DAY * read.number("RUN_RETENTION_DAYS", 30, 1..=3650, "days"),
            telemetry: telemetry::Settings::read(&mut read),
        };
        config.contradictions().into_iter().for_each(|fault| read.fault(fault));
        let faults = read.into_faults();
        if faults.is_empty() { Ok(config) } else { Err(ConfigError(faults)) }
    }

    /// Faults of two variables together.
    fn contradictions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.retry_max < self.retry_min {
            let (min, max) = (self.retry_min.as_millis(), self.retry_max.as_millis());
            faults.push(format!("RETRY_MAX_MS={max} is below RETRY_MIN_MS={min}"));
        }
        if self.lease <= self.llm_timeout {
            let (lease, call) = (self.lease.as_millis(), self.llm_timeout.as_millis());
            faults.push(format!(
                "LEASE_MS={lease} is not above MANA_LLM_TIMEOUT_MS={call}: a call could outlive its lease"
            ));
        }
        faults
    }

    /// What to tell an operator whose service key can be guessed; `None` where it is long enough.
    pub fn service_key_note(&self) -> Option<String> {
        let length = self.service_key.expose_secret().len();
        (length < SHORTEST_GOOD_KEY).then(|| {
            format!(
                "MANA_SERVICE_KEY has {length} characters, and fewer than {SHORTEST_GOOD_KEY} can be guessed: \
                 `openssl rand -hex 32` makes a good one"
            )
        })
    }

    /// What to tell an operator who might look for `DATABASE_URL`; `None` where that is set.
    pub fn database_url_note(&self) -> Option<String> {
        let stands_in = self.database_url_from != DATABASE_URL;
        stands_in
            .then(|| format!("{DATABASE_URL} is not set, {} is used in its place", self.database_url_from))
    }
}

fn is_transaction(pooler: &str) -> Option<bool> {
    match pooler {
        "none" => Some(false),
        "transaction" => Some(true),
        _ => None,
    }
}

fn is_postgres_url(url: &str) -> bool {
    let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    postgres && url.parse::<PgConnectOptions>().is_ok()
}

/// `PORT` alone, for the health check of a container, which must not fail because of any other variable.
///
/// # Errors
/// `PORT` is no port to connect to.
pub fn port() -> Result<u16, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    let mut read = Reader::new(|name: &str| std::env::var(name).ok());
    let port = read.number("PORT", 3066, 1..=u16::MAX, "as a TCP port");
    let faults = read.into_faults();
    if faults.is_empty() { Ok(port) } else { Err(ConfigError(faults)) }
}

/// One variable as it is, for the demo and the tests, which need none of the others.
#[cfg(feature = "demo")]
pub fn var(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}
