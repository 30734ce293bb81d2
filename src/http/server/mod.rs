//! HTTP connections: how many, and how long each may keep us waiting.
//!
//! A connection is at every moment either ours, while a handler works on a request, or its client's: to send
//! a request with all of its body, to take the answer, to say anything at all. One clock bounds the second,
//! whichever it is, so no way of being slow is left out. It starts with the connection and again with each
//! answer, never with a byte: dripping gains nothing.
//!
//! Where there are too many connections, the one that has kept us waiting the longest makes way for the next,
//! before its time. Who sends a request at once is the last to be cut off; who holds an idle connection finds
//! it closed under a flood, and has to connect again. What a handler works on is never cut off: if every
//! connection is at work, the next client waits at the door.

mod waiting;

use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;

use waiting::{Id, Turn, Waiting};

/// Of a request's line and headers together, in bytes; hyper takes a hundred headers. More is answered 431.
const LARGEST_HEAD: usize = 16 * 1024;
/// At the door without a descriptor to let anyone in: how long until we look again.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_secs(1);

/// What clients may cost us.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take from one answer, or from connecting, until its next request is all there.
    pub patience: Duration,
    /// The same once we stop: for requests that are on their way.
    pub patience_at_stop: Duration,
    /// Connections at once, beside one at the door.
    pub connections: usize,
}

impl Default for Limits {
    /// At most half of the process's descriptors: the database and mana-llm need some too.
    fn default() -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        Self {
            patience: Duration::from_secs(30),
            patience_at_stop: Duration::from_secs(1),
            connections: half.clamp(8, 512),
        }
    }
}

/// Serves until `stop`, then returns once the requests that run are answered. Dropping it ends every
/// connection at once.
pub async fn serve(listener: TcpListener, routes: Router, limits: Limits, stop: CancellationToken) {
    let mut server = Server { routes, stop, waiting: Arc::default(), connections: JoinMap::new(), next: 0 };
    let mut at_the_door = None;
    loop {
        let full = server.connections.len() >= limits.connections;
        let patience = if full && at_the_door.is_some() { Duration::ZERO } else { limits.patience };
        tokio::select! {
            () = server.stop.cancelled() => break,
            Some(_) = server.connections.join_next() => {}
            id = server.waiting.longest(patience) => server.cut_off(id).await,
            accepted = listener.accept(), if at_the_door.is_none() => match accepted {
                Ok((stream, _)) => at_the_door = Some(stream),
                Err(error) => after_failed_accept(error).await,
            }
        }
        if server.connections.len() < limits.connections
            && let Some(stream) = at_the_door.take()
        {
            server.let_in(stream);
        }
    }
    drop((listener, at_the_door));
    while !server.connections.is_empty() {
        tokio::select! {
            Some(_) = server.connections.join_next() => {}
            id = server.waiting.longest(limits.patience_at_stop) => server.cut_off(id).await,
        }
    }
}

/// Most errors are the client's, which has gone. Without a descriptor the client stays at the door, and asking
/// again at once would spin.
async fn after_failed_accept(error: Error) {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(NO_DESCRIPTOR_PAUSE).await;
    }
}

struct Server {
    routes: Router,
    stop: CancellationToken,
    waiting: Arc<Waiting>,
    connections: JoinMap<Id, ()>,
    next: Id,
}

impl Server {
    fn let_in(&mut self, stream: TcpStream) {
        self.next += 1;
        let client = Client {
            id: self.next,
            routes: TowerToHyperService::new(self.routes.clone()),
            turn: Mutex::new(Some(self.waiting.begin(self.next))),
            waiting: Arc::clone(&self.waiting),
        };
        self.connections.spawn(self.next, converse(stream, client, self.stop.clone()));
    }

    async fn cut_off(&mut self, id: Id) {
        if self.connections.abort(&id) {
            // Its descriptor is free now, or another's.
            self.connections.join_next().await;
        }
    }
}

async fn converse(stream: TcpStream, client: Client, stop: CancellationToken) {
    // Fails only if the client has gone.
    let _ = stream.set_nodelay(true);
    let client = &client;
    let connection = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service_fn(|request| client.answer(request)));
    let mut connection = pin!(connection);
    // Errors are the client's: it has gone, or speaks no HTTP.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// One connection's state.
struct Client {
    id: Id,
    routes: TowerToHyperService<Router>,
    waiting: Arc<Waiting>,
    /// `None` while we are at work.
    turn: Mutex<Option<Turn>>,
}

impl Client {
    /// hyper polls this only once the answers before are written: who does not take them keeps its turn. And
    /// it writes the answer in the same poll that ends this, so being cut off right then loses nothing small.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let turn = self.turn().take();
        let request = request.map(|body| {
            if body.is_end_stream() {
                return Body::new(body);
            }
            // The turn ends with the body: read, or let go of.
            Body::new(body.map_frame(move |frame| {
                let _ = &turn;
                frame
            }))
        });
        let answer = self.routes.call(request).await;
        *self.turn() = Some(self.waiting.begin(self.id));
        answer
    }

    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
