//! The inbox page beside the service, while the demo stays up: what `--web` adds.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::llm::StandIn;
use super::sync::{SyncServer, SyncSettings};
use super::{DemoError, service_key, tick};

/// Unless somebody else has it.
const PORT: u16 = 3067;
/// Between two ticks. The service's own loop is off, because the demo's story ticks by itself.
const TICK_EVERY: Duration = Duration::from_secs(5);

/// The page, what answers it, and the clock that makes its missions due. All of it ends when dropped.
pub(super) struct Page {
    server: SyncServer,
    _ticking: AbortOnDropHandle<()>,
}

impl Page {
    /// Serves the page of `folder`, with mana-sync's stand-in on the same port.
    ///
    /// # Errors
    /// Where no port is free, the folder holds no page, or the database cannot be used.
    pub(super) async fn serve(
        folder: &Path,
        database_url: &str,
        address: &str,
        llm: Option<Arc<StandIn>>,
    ) -> Result<Self, DemoError> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        };
        let settings = SyncSettings {
            database_url: database_url.to_owned(),
            service_url: address.to_owned(),
            service_key: service_key(),
            llm,
            web: Some(folder.to_owned()),
        };
        let server = SyncServer::start(listener, settings).await?;
        let address = address.to_owned();
        let ticking = tokio::spawn(async move {
            loop {
                // Whatever a tick says is in the service's metrics; the next one tries again.
                let _ = tick(&address).await;
                tokio::time::sleep(TICK_EVERY).await;
            }
        });
        Ok(Self { server, _ticking: AbortOnDropHandle::new(ticking) })
    }

    /// Where to open it.
    pub(super) fn url(&self) -> &str {
        self.server.url()
    }
}
