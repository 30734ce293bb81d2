//! The parts put together: one process that serves HTTP and runs ticks, from start to stop.

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
    /// `DATABASE_URL` is no URL that sqlx takes. Not shown: it holds a password.
    #[error("DATABASE_URL is not taken: {0}")]
    Database(StoreError),
    /// The HTTP client for mana-llm.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// Somebody else has the port.
    #[error("cannot listen on port {port}: {source}")]
    Listen {
        /// `PORT`.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The server stopped by itself.
    #[error("the HTTP server stopped: {0}")]
    Serve(tokio::task::JoinError),
}

/// The runner of a configuration, and the store that it uses. Connects to nothing yet.
pub fn runner(config: &Config, stop: CancellationToken) -> Result<(Store, Arc<Runner>), StartError> {
    let store =
        Store::new(config.database_url.expose_secret(), config.pool_size).map_err(StartError::Database)?;
    let llm = LlmClient::from_config(config)?;
    let breaker = BreakerSettings { failures: config.breaker_failures, pause: config.breaker_pause };
    let policy = RetryPolicy {
        max_attempts: config.max_attempts,
        shortest: config.retry_min,
        longest: config.retry_max,
    };
    #[expect(clippy::disallowed_methods, reason = "who this process is begins here")]
    let replica = uuid::Uuid::new_v4();
    let metrics = Arc::new(Metrics::new());
    let worker = Worker {
        store: store.clone(),
        llm: Arc::new(LlmService::new(llm, breaker, Arc::clone(&metrics))),
        default_zone: config.time_zone.clone(),
        lease: config.lease,
        policy,
        replica,
        abandon: CancellationToken::new(),
        metrics,
    };
    Ok((store, Arc::new(Runner::new(worker, settings(config), stop))))
}

fn settings(config: &Config) -> RunnerSettings {
    RunnerSettings {
        concurrency: config.concurrency,
        per_user: config.user_concurrency,
        refresh_overlap: config.refresh_overlap,
        migrate: config.migrate_on_start,
        run_retention: config.run_retention,
        llm_timeout: config.llm_timeout,
        interval: config.tick_enabled.then_some(config.tick_interval),
    }
}

/// Binds `PORT` on all addresses.
pub async fn listen(port: u16) -> Result<TcpListener, StartError> {
    let everywhere = std::net::Ipv4Addr::UNSPECIFIED;
    TcpListener::bind((everywhere, port)).await.map_err(|source| StartError::Listen { port, source })
}

/// What a watchdog's line may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// All that had begun was done.
    Clean,
    /// The time was over before that.
    CutOff,
}

/// Of the time to drain this much is kept for giving leases back, so that the process is gone in time.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// Waits for `work` as long as a stop may take. Shortly before that is over it drops the calls that are
/// still in flight and gives their leases back. `None` where not even that ended in time, which a database
/// that is gone can do: then the leases expire.
pub async fn drain<T>(
    work: impl Future<Output = T>,
    runner: &Runner,
    limit: Duration,
) -> (Option<T>, Stopped) {
    let last = (limit / 4).min(LAST_STEPS);
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(limit - last, &mut work).await {
        return (Some(done), Stopped::Clean);
    }
    tracing::warn!("not everything was done in time, what still runs is dropped and given back");
    runner.abandon();
    (tokio::time::timeout(last, &mut work).await.ok(), Stopped::CutOff)
}

/// Serves on `listener` until `stop`, then gives what is running `DRAIN_TIMEOUT_MS`. What is not done by
/// then is given back, and another replica or the next start plans it.
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
        ticks: tasks.clone(),
    };
    runner.heartbeat().watch(|silent| {
        // What blocks the loop may be the log itself: nobody waits for it here.
        let line =
            move || tracing::error!(silent_s = silent.as_secs(), "the tick loop is dead, the process ends");
        std::thread::spawn(line);
        std::thread::sleep(LAST_WORDS);
        std::process::exit(1);
    });
    let index_store = store.clone();
    let ticking = Arc::clone(&runner);
    tasks.spawn(async move {
        let runner = ticking;
        runner.until_prepared().await;
        if config.migrate_on_start {
            // Nothing waits for it: a long transaction of somebody else may hold it up for hours.
            tokio::spawn(build_index(index_store));
        }
        if config.tick_enabled {
            runner.run_every(config.tick_interval).await;
        }
    });
    tracing::info!(
        address = listener.local_addr().ok().map(tracing::field::display),
        version = env!("CARGO_PKG_VERSION"),
        tick_enabled = config.tick_enabled,
        "listening"
    );
    let server = server::serve(listener, router(state), server::Limits::default(), stop.clone());
    // Its connections end with it.
    let mut server = AbortOnDropHandle::new(tokio::spawn(server));
    tokio::select! {
        // A stop ends the server too, and must not be taken for its failure: what runs would be lost.
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

async fn build_index(store: Store) {
    if let Err(error) = access::build_index(&store).await {
        tracing::warn!(%error, "no index on mission changes yet");
    }
}
