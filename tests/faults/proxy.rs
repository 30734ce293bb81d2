//! A TCP proxy before Postgres or the model: it delays, freezes, cuts and drops, and can lose the reply to one
//! COMMIT. A mode holds for every byte from the moment when [`Proxy::set`] returns.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Each chunk waits so long.
    Delay(Duration),
    /// Accepts, relays nothing, closes nothing: half open. What was sent arrives later.
    Freeze,
    /// New connections are accepted and never answered, not even later; old ones pass.
    DropNew,
    /// Resets all connections, new ones too.
    Cut,
}

impl Mode {
    fn stops(self) -> bool {
        matches!(self, Self::Freeze | Self::Cut)
    }
}

/// Ends with the test's runtime.
pub struct Proxy {
    /// The URL of what is behind, by way of the proxy.
    pub url: String,
    link: Arc<Link>,
}

struct Link {
    target: String,
    mode: watch::Sender<Mode>,
    open: watch::Sender<usize>,
    /// The reply to the next COMMIT is to be lost.
    armed: AtomicBool,
}

impl Proxy {
    /// Before the host and port of any URL.
    pub async fn before(url: &str) -> Self {
        let mut url = reqwest::Url::parse(url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let (mode, open) = (watch::Sender::new(Mode::Pass), watch::Sender::new(0));
        let link = Arc::new(Link { target, mode, open, armed: AtomicBool::new(false) });
        let shared = Arc::clone(&link);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.open.send_modify(|open| *open += 1);
                tokio::spawn(connection(Arc::clone(&shared), client));
            }
        });
        Self { url: url.into(), link }
    }

    /// Returns when it is in effect: after `Cut` no connection is left.
    pub async fn set(&self, mode: Mode) {
        self.link.mode.send_replace(mode);
        if mode == Mode::Cut {
            let _ = self.link.open.subscribe().wait_for(|open| *open == 0).await;
        }
    }

    /// How many connections it holds.
    pub fn open(&self) -> usize {
        *self.link.open.borrow()
    }

    /// The reply to the next COMMIT is lost, and its connection with it.
    pub fn lose_next_commit(&self) {
        self.link.armed.store(true, Ordering::SeqCst);
    }

    pub fn has_struck(&self) -> bool {
        !self.link.armed.load(Ordering::SeqCst)
    }
}

/// From the accept to the end, which is a reset unless both sides ended it in order.
async fn connection(link: Arc<Link>, mut client: TcpStream) {
    let mut server = None;
    let mut mode = link.mode.subscribe();
    let ended = tokio::select! {
        biased;
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => false,
        relayed = relay(&link, &mut client, &mut server) => relayed.is_ok(),
    };
    for socket in [Some(client), server].into_iter().flatten().filter(|_| !ended) {
        let _ = socket.set_zero_linger();
    }
    link.open.send_modify(|open| *open -= 1);
}

async fn relay(link: &Link, client: &mut TcpStream, server: &mut Option<TcpStream>) -> io::Result<()> {
    let mode = *link.mode.borrow();
    if mode == Mode::DropNew {
        return tokio::io::copy(client, &mut tokio::io::sink()).await.map(drop);
    }
    link.passes().await;
    let server = server.insert(TcpStream::connect(&link.target).await?);
    // Else small chunks wait for each other, which no network does to them.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let losing = AtomicBool::new(false);
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let sent = |bytes: &[u8]| {
        if bytes.windows(7).any(|bytes| bytes == b"COMMIT\0") && link.armed.swap(false, Ordering::SeqCst) {
            losing.store(true, Ordering::SeqCst);
        }
        true
    };
    // The server answers once it is done; nobody hears it.
    let heard = |_: &[u8]| !losing.load(Ordering::SeqCst);
    tokio::try_join!(link.pump(from_client, to_server, sent), link.pump(from_server, to_client, heard))?;
    Ok(())
}

impl Link {
    /// Until the end of `from`, or a chunk that `look` refuses.
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        look: impl Fn(&[u8]) -> bool,
    ) -> io::Result<()> {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut chunk).await?;
            if !look(&chunk[..read]) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.passes().await;
            if read == 0 {
                return to.shutdown().await;
            }
            self.write(&to, &chunk[..read]).await?;
        }
    }

    /// When a chunk's turn has come.
    async fn passes(&self) {
        let mut mode = self.mode.subscribe();
        loop {
            let now = *mode.borrow_and_update();
            let wait = match now {
                Mode::Pass | Mode::DropNew => return,
                Mode::Delay(by) => by,
                Mode::Freeze | Mode::Cut => Duration::MAX,
            };
            if tokio::time::timeout(wait, mode.changed()).await.is_err() {
                return;
            }
        }
    }

    async fn write(&self, to: &WriteHalf<'_>, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() {
            let _ = self.mode.subscribe().wait_for(|mode| !mode.stops()).await;
            to.writable().await?;
            match self.try_write(to, chunk) {
                Ok(written) => chunk = &chunk[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Holds the mode while it writes, so that nothing passes once a freeze is in effect.
    fn try_write(&self, to: &WriteHalf<'_>, chunk: &[u8]) -> io::Result<usize> {
        let mode = self.mode.borrow();
        if mode.stops() { Err(io::ErrorKind::WouldBlock.into()) } else { to.try_write(chunk) }
    }
}
