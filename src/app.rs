//! One process that serves HTTP and runs ticks: its parts put together, its start, and its stop.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::attempt::Worker;
use crate::attempt::retry::RetryPolicy;
use crate::config::Config;
use crate::http::server;
use crate::http::{AppState, router};
use crate::llm::breaker::BreakerSettings;
use crate::llm::client::LlmClient;
use crate::llm::service::LlmService;
use crate::metrics::Metrics;
use crate::runner::{Runner, RunnerSettings};
use crate::store::{Store, StoreError, access};
use crate::telemetry::ms;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// sqlx does not take the database's URL. The URL is not shown, because it holds a password.
    #[error("{variable} is not taken: {source}")]
    Database {
        /// The variable that holds the URL.
        variable: &'static str,
        /// What sqlx said of it.
        source: StoreError,
    },
    /// The HTTP client for mana-llm cannot be built.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The port cannot be bound; mostly because another process has it.
    #[error("cannot listen on port {port}: {source}")]
    Listen {
        /// `PORT`.
        port: u16,
        /// The answer of the operating system.
        source: std::io::Error,
    },
    /// The HTTP server ended although nothing had stopped it.
    #[error("the HTTP server stopped: {0}")]
    Serve(tokio::task::JoinError),
}

/// The database of a configuration. Connects to nothing yet. Logs which variable named it where that is not
/// `DATABASE_URL`.
///
/// # Errors
/// The database's URL cannot be used.
pub fn open_store(config: &Config) -> Result<Store, StartError> {
    if let Some(note) = config.database_url_note() {
        tracing::info!("{note}");
    }
    let variable = config.database_url_from;
    let store = Store::new(config.database_url.expose_secret(), config.pool_size)
        .map_err(|source| StartError::Database { variable, source })?;
    Ok(store.behind_transaction_pooler(config.is_transaction_pooler))
}

/// The runner of a configuration, and the store that it uses. Connects to nothing yet.
///
/// # Errors
/// The database's URL cannot be used, or the HTTP client for mana-llm cannot be built.
pub fn runner(config: &Config, stop: CancellationToken) -> Result<(Store, Arc<Runner>), StartError> {
    let store = open_store(config)?;
    let llm = LlmClient::from_config(config)?;
    let breaker = BreakerSettings { failures: config.breaker_failures, pause: config.breaker_pause };
    let policy = RetryPolicy {
        max_attempts: config.max_attempts,
        shortest: config.retry_min,
        longest: config.retry_max,
    };
    #[expect(clippy::disallowed_methods, reason = "the replica's id is made here, once per process")]
    let replica = uuid::Uuid::new_v4();
    let metrics = Arc::new(Metrics::new());
    let worker = Worker {
        store: store.clone(),
        llm: Arc::new(LlmService::new(llm, breaker, Arc::clone(&metrics))),
        default_zone: config.time_zone.clone(),
        lease: config.lease,
        policy,
        replica,
        max_unread_per_user: config.max_unread_per_user,
        calls_per_user_per_day: config.calls_per_user_per_day,
        abandon: CancellationToken::new(),
        metrics,
    };
    Ok((store, Arc::new(Runner::new(worker, settings(config), stop))))
}

fn settings(config: &Config) -> RunnerSettings {
    RunnerSettings {
        concurrency: config.concurrency,
        // One at a time where unread plans are bounded: two at once would each not see the other's plan.
        per_user: if config.max_unread_per_user.is_some() { 1 } else { config.user_concurrency },
        refresh_overlap: config.refresh_overlap,
        migrate: config.migrate_on_start,
        run_retention: config.run_retention,
        llm_timeout: config.llm_timeout,
        interval: config.tick_enabled.then_some(config.tick_interval),
    }
}

/// Binds `port` on all IPv4 addresses.
///
/// # Errors
/// The port cannot be bound.
pub async fn listen(port: u16) -> Result<TcpListener, StartError> {
    let all_addresses = std::net::Ipv4Addr::UNSPECIFIED;
    TcpListener::bind((all_addresses, port)).await.map_err(|source| StartError::Listen { port, source })
}

/// How long the watchdog waits for its last log line before it ends the process.
const WATCHDOG_LOG_TIMEOUT: Duration = Duration::from_secs(1);

/// How a stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that had begun was finished.
    Clean,
    /// The time to drain was over before that, and what still ran was dropped.
    CutOff,
}

/// The part of the time to drain that is kept for giving leases back, at most.
const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// Waits for `work` for at most `limit`. Shortly before that is over, it drops the calls that are still in flight,
/// and their leases are given back. `None` where not even that ended in time, because the database does not answer:
/// then the leases expire.
pub async fn drain<T>(
    work: impl Future<Output = T>,
    runner: &Runner,
    limit: Duration,
) -> (Option<T>, Stopped) {
    let give_back = (limit / 4).min(GIVE_BACK_TIMEOUT);
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(limit - give_back, &mut work).await {
        return (Some(done), Stopped::Clean);
    }
    tracing::warn!("not everything was done in time, what still runs is dropped and given back");
    runner.abandon();
    (tokio::time::timeout(give_back, &mut work).await.ok(), Stopped::CutOff)
}

/// Serves on `listener` until `stop` is cancelled. Then missions in flight may go on for `DRAIN_TIMEOUT_MS`. The lease
/// of a mission that is not finished by then is given back, and another replica or the next start plans it.
///
/// # Errors
/// The configuration cannot be used, or the HTTP server ended by itself.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<Stopped, StartError> {
    let (store, runner) = runner(&config, stop.clone())?;
    let tasks = TaskTracker::new();
    let state = AppState {
        runner: Arc::clone(&runner),
        service_key: config.service_key.clone(),
        tick_enabled: config.tick_enabled,
        background_tasks: tasks.clone(),
    };
    runner.heartbeat().watch(exit_process);
    tasks.spawn(run_loop(Arc::clone(&runner), store.clone(), config.clone()));
    tracing::info!(
        address = listener.local_addr().ok().map(tracing::field::display),
        version = env!("CARGO_PKG_VERSION"),
        tick_enabled = config.tick_enabled,
        "listening"
    );
    let server = server::serve(listener, router(state), server::Limits::default(), stop.clone());
    // Aborting the server on drop closes its connections.
    let mut server = AbortOnDropHandle::new(tokio::spawn(server));
    tokio::select! {
        // Biased, because a stop ends the server too. Taken for a failure of the server, it would skip the drain.
        biased;
        () = stop.cancelled() => {}
        ended = &mut server => return ended.map_err(StartError::Serve).map(|()| Stopped::Clean),
    }
    tracing::info!(drain_ms = ms(config.drain_timeout), "stopping, nothing new is begun");
    tasks.close();
    let all = async { tokio::join!(tasks.wait(), server) };
    let (_, stopped) = drain(all, &runner, config.drain_timeout).await;
    store.close();
    tracing::info!(clean = stopped == Stopped::Clean, "stopped");
    Ok(stopped)
}

/// Waits until the database is set up, then runs the tick loop until the runner is stopped.
async fn run_loop(runner: Arc<Runner>, store: Store, config: Config) {
    runner.until_prepared().await;
    if config.migrate_on_start {
        // Ticks do not wait for the index: another session's long transaction can hold its build up for hours.
        tokio::spawn(build_index(store));
    }
    if config.tick_enabled {
        runner.run_every(config.tick_interval).await;
    }
}

/// Ends the process because the tick loop has given no sign of life for `silent`.
fn exit_process(silent: Duration) {
    // On a thread of its own, because writing the log may be what blocks the loop.
    let log = move || tracing::error!(silent_s = silent.as_secs(), "the tick loop is dead, the process ends");
    std::thread::spawn(log);
    std::thread::sleep(WATCHDOG_LOG_TIMEOUT);
    std::process::exit(1);
}

async fn build_index(store: Store) {
    if let Err(error) = access::build_index(&store).await {
        tracing::warn!(%error, "no index on mission changes yet");
    }
}
