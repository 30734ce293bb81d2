//! Every variable: its unit, its default, and what it takes. The only reader of them; `RUST_LOG` alone is
//! the logger's, `OTEL_BSP_…` and `OTEL_SPAN_…` are OpenTelemetry's,
//! whose exporter also reads some of `OTEL_EXPORTER_OTLP_…` for itself, and the embedded Postgres looks for programs
//! on `PATH`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

pub mod telemetry;

/// The whole configuration of the service. `.env.example` explains the variables to operators.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATABASE_URL`: the Postgres of mana-sync.
    pub database_url: SecretString,
    /// `DATABASE_POOL_SIZE`: connections at most. None is held during a model call.
    pub pool_size: u32,
    /// `MIGRATE_ON_START`: set the database up where it is not.
    pub migrate_on_start: bool,
    /// `MANA_SERVICE_KEY`: opens `/internal`, and is our key at mana-llm. No default.
    pub service_key: SecretString,
    /// `MANA_LLM_API_KEY`: sent to mana-llm as `X-API-Key` in place of the service key, where it has a key set.
    pub llm_api_key: Option<SecretString>,
    /// `MANA_LLM_URL`: base of mana-llm.
    pub llm_url: String,
    /// `MANA_LLM_MODEL`: `provider/model` or an alias.
    pub llm_model: String,
    /// `MANA_LLM_TIMEOUT_MS`: for a whole call.
    pub llm_timeout: Duration,
    /// `PORT`: where HTTP listens, on all addresses.
    pub port: u16,
    /// `TICK_ENABLED`: run the loop? Without it only requests tick.
    pub tick_enabled: bool,
    /// `TICK_INTERVAL_MS`: from one tick's start to the next.
    pub tick_interval: Duration,
    /// `TICK_CONCURRENCY`: missions at once in this process.
    pub concurrency: usize,
    /// `USER_CONCURRENCY`: missions of one user at once, over all replicas.
    pub user_concurrency: u32,
    /// `LEASE_MS`: how long a replica that says nothing keeps a mission.
    pub lease: Duration,
    /// `REFRESH_OVERLAP_MS`: how long a transaction of mana-sync may stay open and still be seen.
    pub refresh_overlap: Duration,
    /// `MANA_TIME_ZONE`: of cadences whose user's zone nothing tells.
    pub time_zone: TimeZone,
    /// `DRAIN_TIMEOUT_MS`: what running missions get after a stop signal.
    pub drain_timeout: Duration,
    /// `MAX_ATTEMPTS` at a slot, before it counts as failed.
    pub max_attempts: u32,
    /// `RETRY_MIN_MS`: the shortest wait between two attempts.
    pub retry_min: Duration,
    /// `RETRY_MAX_MS`: the longest.
    pub retry_max: Duration,
    /// `BREAKER_FAILURES` of mana-llm in a row, after which it is not called for a while.
    pub breaker_failures: u32,
    /// `BREAKER_PAUSE_MS`: for so long.
    pub breaker_pause: Duration,
    /// `RUN_RETENTION_DAYS`: how long the ledger keeps an attempt.
    pub run_retention: Duration,
    /// `LOG_FORMAT` and `OTEL_…`: how to log, and where spans go.
    pub telemetry: telemetry::Settings,
}

/// Everything that is wrong with the environment, one line per variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {} fault(s):\n  {}\n.env.example explains every variable", .0.len(), .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const DAY: Duration = Duration::from_millis(DAY_MS);

impl Config {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// For what neither serves nor calls mana-llm: needs no service key.
    pub fn without_key_from_env() -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
        Self::from_vars(|name| {
            if name == "MANA_SERVICE_KEY" { Some("unused".into()) } else { std::env::var(name).ok() }
        })
    }

    /// Reads from anything that knows variables. An empty value counts as not set.
    pub fn from_vars(get: impl FnMut(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader { get, faults: Vec::new() };
        let config = Self {
            database_url: read.secret(
                "DATABASE_URL",
                "postgresql://user:password@host:5432/database",
                |url| {
                    let postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
                    postgres && url.parse::<PgConnectOptions>().is_ok()
                },
            ),
            pool_size: read.number("DATABASE_POOL_SIZE", 10, 2..=1000, "connections"),
            migrate_on_start: read.flag("MIGRATE_ON_START", true),
            service_key: read.secret(
                "MANA_SERVICE_KEY",
                "the key that the services share, in visible ASCII",
                |key| key.bytes().all(|byte| byte.is_ascii_graphic()),
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
        if config.retry_max < config.retry_min {
            let (min, max) = (config.retry_min.as_millis(), config.retry_max.as_millis());
            read.faults.push(format!("RETRY_MAX_MS={max} is below RETRY_MIN_MS={min}"));
        }
        if config.lease <= config.llm_timeout {
            let (lease, call) = (config.lease.as_millis(), config.llm_timeout.as_millis());
            read.faults.push(format!(
                "LEASE_MS={lease} is not above MANA_LLM_TIMEOUT_MS={call}: a call could outlive its lease"
            ));
        }
        if read.faults.is_empty() { Ok(config) } else { Err(ConfigError(read.faults)) }
    }
}

/// `PORT` alone, for the health check of a container: it must not depend on anything else.
pub fn port() -> Result<u16, ConfigError> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    let mut read = Reader { get: |name: &str| std::env::var(name).ok(), faults: Vec::new() };
    let port = read.number("PORT", 3066, 1..=u16::MAX, "as a TCP port");
    if read.faults.is_empty() { Ok(port) } else { Err(ConfigError(read.faults)) }
}

/// One variable as it is, for the demo and the tests, which do without the others.
#[cfg(feature = "demo")]
pub fn var(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Collects faults instead of stopping at the first.
pub(crate) struct Reader<G> {
    get: G,
    faults: Vec<String>,
}

impl<G: FnMut(&str) -> Option<String>> Reader<G> {
    fn set(&mut self, name: &str) -> Option<String> {
        (self.get)(name).filter(|value| !value.trim().is_empty())
    }

    pub(crate) fn text(&mut self, name: &str, default: &str) -> String {
        self.set(name).unwrap_or_else(|| default.to_owned())
    }

    /// Without a default, and never shown.
    fn secret(&mut self, name: &str, takes: &str, fits: impl Fn(&str) -> bool) -> SecretString {
        let value = self.set(name).unwrap_or_default();
        let value = value.trim();
        if value.is_empty() {
            self.faults.push(format!("{name} is not set and has no default: it takes {takes}"));
        } else if !fits(value) {
            self.faults.push(format!("{name} is set, but not taken: it takes {takes}"));
        }
        value.into()
    }

    /// Never shown, and without a default.
    pub(crate) fn hidden<T>(
        &mut self,
        name: &str,
        takes: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.set(name)?;
        let parsed = parse(value.trim());
        if parsed.is_none() {
            self.faults.push(format!("{name} is set, but not taken: it takes {takes}"));
        }
        parsed
    }

    /// `takes` says what the value is. One that is not taken is shown: none of these is secret.
    pub(crate) fn parsed<T>(
        &mut self,
        name: &str,
        default: T,
        takes: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(value) = self.set(name) else { return default };
        parse(value.trim()).unwrap_or_else(|| {
            self.faults.push(format!("{name}={value} is not taken: it takes {takes}"));
            default
        })
    }

    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        default: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> T {
        let takes = format!("a whole number from {} to {}, {unit}", range.start(), range.end());
        self.parsed(name, default, &takes, |value| value.parse().ok().filter(|number| range.contains(number)))
    }

    pub(crate) fn ms(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, default, range, "milliseconds"))
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        self.parsed(name, default, "true or false", |value| value.parse().ok())
    }

    fn zone(&mut self, name: &str, default: &str) -> TimeZone {
        let value = self.text(name, default);
        TimeZone::get(value.trim()).unwrap_or_else(|_| {
            let takes = "a name of the IANA time zone database, such as Europe/Berlin";
            self.faults.push(format!("{name}={value} is not taken: it takes {takes}"));
            TimeZone::UTC
        })
    }

    fn url(&mut self, name: &str, default: &str) -> String {
        let takes = "an http or https URL, such as http://mana-llm:3025";
        self.parsed(name, default.to_owned(), takes, |value| {
            let url = reqwest::Url::parse(value).ok()?;
            (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| value.to_owned())
        })
    }
}
