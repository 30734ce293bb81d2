//! The parts put together: one process that serves HTTP and runs ticks, from start to stop.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::Worker;
use crate::config::Config;
use crate::http::{AppState, router};
use crate::planner::llm::LlmClient;
use crate::store::{Store, StoreError, access};
use crate::tick::{Runner, RunnerSettings};

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
    Serve(std::io::Error),
}

/// The runner of a configuration, and the store that it uses. Connects to nothing yet.
pub fn runner(config: &Config, stop: CancellationToken) -> Result<(Store, Arc<Runner>), StartError> {
    let store =
        Store::new(config.database_url.expose_secret(), config.pool_size).map_err(StartError::Database)?;
    let key = config.service_key.clone();
    let llm = LlmClient::new(&config.llm_url, key, config.llm_model.clone(), config.llm_timeout)?;
    let worker =
        Worker { store: store.clone(), llm, default_zone: config.time_zone.clone(), lease: config.lease };
    let settings = RunnerSettings {
        concurrency: config.concurrency,
        per_user: config.user_concurrency,
        refresh_overlap: config.refresh_overlap,
        migrate: config.migrate_on_start,
    };
    Ok((store, Arc::new(Runner::new(worker, settings, stop))))
}

/// Binds `PORT` on all addresses.
pub async fn listen(port: u16) -> Result<TcpListener, StartError> {
    let everywhere = std::net::Ipv4Addr::UNSPECIFIED;
    TcpListener::bind((everywhere, port)).await.map_err(|source| StartError::Listen { port, source })
}

/// Serves on `listener` until `stop`, then gives what is running `DRAIN_TIMEOUT_MS`. What is not done by
/// then is dropped: its lease expires, and another replica or the next start plans it.
pub async fn serve(config: Config, listener: TcpListener, stop: CancellationToken) -> Result<(), StartError> {
    let (store, runner) = runner(&config, stop.clone())?;
    let tasks = TaskTracker::new();
    let state = AppState {
        runner: Arc::clone(&runner),
        service_key: config.service_key.clone(),
        tick_enabled: config.tick_enabled,
        ticks: tasks.clone(),
    };
    let index_store = store.clone();
    tasks.spawn(async move {
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
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut server = tokio::spawn(async move { server.await });
    tokio::select! {
        // A stop ends the server too, and must not be taken for its failure: what runs would be lost.
        biased;
        () = stop.cancelled() => {}
        ended = &mut server => return ended.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(StartError::Serve),
    }
    tracing::info!(drain_ms = config.drain_timeout.as_millis(), "stopping, nothing new is begun");
    tasks.close();
    let drained = async { tokio::join!(tasks.wait(), server) };
    if tokio::time::timeout(config.drain_timeout, drained).await.is_err() {
        tracing::warn!("not everything was done in time, the rest is dropped");
    }
    // A connection of a dropped mission may never come back.
    let _ = tokio::time::timeout(Duration::from_secs(1), store.close()).await;
    tracing::info!("stopped");
    Ok(())
}

async fn build_index(store: Store) {
    if let Err(error) = access::build_index(&store).await {
        tracing::warn!(%error, "no index on mission changes yet");
    }
}
