//! A TCP proxy before Postgres that cuts the connection after a COMMIT was carried out, so that its reply
//! is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Ends with the test's runtime.
pub struct Proxy {
    /// The database's URL, by way of the proxy.
    pub url: String,
    armed: Arc<AtomicBool>,
}

impl Proxy {
    pub async fn before(database_url: &str) -> Self {
        let mut url = reqwest::Url::parse(database_url).unwrap();
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&shared)));
            }
        });
        Self { url: url.into(), armed }
    }

    /// The reply to the next COMMIT is lost.
    pub fn lose_next_commit(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn has_struck(&self) -> bool {
        !self.armed.load(Ordering::SeqCst)
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, armed: Arc<AtomicBool>) -> std::io::Result<()> {
    let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let sent = &up[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                server.write_all(sent).await?;
                let commit = sent.windows(7).any(|bytes| bytes == b"COMMIT\0");
                if commit && armed.swap(false, Ordering::SeqCst) {
                    // The server answers once it is done; nobody hears it.
                    server.readable().await?;
                    return Ok(());
                }
            }
            read = server.read(&mut down) => match read? {
                0 => return Ok(()),
                read => client.write_all(&down[..read]).await?,
            },
        }
    }
}
