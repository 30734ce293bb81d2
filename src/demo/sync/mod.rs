//! A stand-in for mana-sync over HTTP, so that a browser can be a device. `web/SYNC.md` is its contract.
//!
//! It reads and writes the real table under row security, as mana-sync does: each transaction sets its user, and becomes
//! a role that row security binds, whoever logged in. The bearer token is taken for the user id as it is, so it must
//! never listen on anything but this machine's own address.

mod error;
mod files;
mod log;
mod routes;
mod run;
mod user;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use self::error::SyncError;
use self::log::SyncLog;
use self::run::Service;
use super::llm::StandIn;

/// Of a push, in bytes.
const LARGEST_PUSH: usize = 16 * 1024 * 1024;

/// What the stand-in works with.
#[derive(Debug, Clone)]
pub struct SyncSettings {
    /// A login that may create roles, to a database with mana-sync's table.
    pub database_url: String,
    /// Where the service listens that plans on demand, without a slash at the end.
    pub service_url: String,
    /// Its key.
    pub service_key: String,
    /// The stand-in for mana-llm whose prompts `GET /demo/prompts` shows; none with a real mana-llm.
    pub llm: Option<Arc<StandIn>>,
    /// The folder of the page.
    pub web: Option<PathBuf>,
}

/// A running stand-in. Stops when dropped.
#[derive(Debug)]
pub struct SyncServer {
    url: String,
    server: AbortHandle,
}

/// Why there is no stand-in.
#[derive(Debug, thiserror::Error)]
pub enum SyncStartError {
    /// No connection, or the login may not create a role.
    #[error("the stand-in for mana-sync cannot use the database: {0}")]
    Database(#[from] sqlx::Error),
    /// No client for the service.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The listener has no address.
    #[error("no address: {0}")]
    Io(#[from] std::io::Error),
    /// `--web` names a folder without a page.
    #[error("{0} has no index.html; `npm run build` in web/ makes web/dist")]
    NoPage(PathBuf),
}

impl SyncServer {
    /// Serves on `listener`.
    ///
    /// # Errors
    /// Where the folder holds no page, or the database cannot be used.
    pub async fn start(listener: TcpListener, settings: SyncSettings) -> Result<Self, SyncStartError> {
        if let Some(folder) = settings.web.as_ref().filter(|folder| !folder.join("index.html").is_file()) {
            return Err(SyncStartError::NoPage(folder.clone()));
        }
        let log = SyncLog::open(&settings.database_url).await?;
        let service = Service::new(settings.service_url, settings.service_key, settings.llm)?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes = router(log, service, settings.web);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Ok(Self { url, server })
    }

    /// Its address, and the page's.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for SyncServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(log: SyncLog, service: Service, web: Option<PathBuf>) -> Router {
    let wrong_method =
        async || SyncError(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method".into());
    let sync = Router::new()
        .route("/sync/{app}", get(routes::pull).post(routes::push))
        .layer(DefaultBodyLimit::max(LARGEST_PUSH))
        .with_state(log);
    let demo = Router::new()
        .route("/demo/run", post(run::run))
        .route("/demo/prompts", get(run::prompts))
        .with_state(service);
    let routes = sync.merge(demo).method_not_allowed_fallback(wrong_method);
    match web {
        Some(folder) => files::serve(routes, folder),
        None => routes.fallback(async || SyncError(StatusCode::NOT_FOUND, "no such path".into())),
    }
}
