//! HTTP connections: how many there may be, and how long a client may keep each of them waiting.
//!
//! At every moment a connection waits either for us, while a handler works on its request, or for its client: to send a
//! request with all of its body, or to take an answer. A clock per connection runs while it waits for the client. It
//! starts with the connection and again with each answer, never with a byte, so that dripping gains nothing. After
//! [`Limits::client_timeout`] the connection is closed.
//!
//! Where there are as many connections as there may be, the one whose clock has run the longest is evicted for the next.
//! So a flood of silent connections keeps nobody out who sends a request at once; whoever holds an idle connection then
//! has to connect again. A connection whose handler works is never evicted: if all of them are at work, the next client
//! waits.
//!
//! What the libraries lack for this was tried with hyper's `header_read_timeout`, tower-http's
//! `RequestBodyTimeoutLayer`, tokio's `Semaphore` and hyper's graceful shutdown against `tests/it/http/slow_clients.rs`:
//! - the body's timeout starts again with each byte: `a_dripped_body_is_cut_off`;
//! - nothing bounds a client that takes no answer: `who_takes_no_answer_is_cut_off`;
//! - a semaphore cannot evict: `over_the_bound_the_longest_wait_makes_way`, `when_all_are_at_work_the_next_waits` (two
//!   idle connections kept both permits), `a_thousand_connections_cost_nobody_else_anything`;
//! - a graceful shutdown waits for half a request for as long as its header timeout: `a_stop_waits_for_what_runs_alone`.
//!
//! The clock covers slow headers and idle connections too, so hyper's own header timeout is off.

mod clocks;
mod refusals;

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

use clocks::{ClientClock, ClientClocks, Id};
use refusals::NamedRefusals;

/// The largest line and headers of a request together, in bytes; hyper takes a hundred headers, and answers more with
/// 431.
const LARGEST_HEAD: usize = 16 * 1024;
/// The pause before accepting again after EMFILE: the process has no descriptor left.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_secs(1);

/// What clients may cost us.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a client may take from one answer, or from connecting, until its next request is all there.
    pub client_timeout: Duration,
    /// The same once the server stops, for requests that are half sent.
    pub client_timeout_at_stop: Duration,
    /// Connections at once. One more is accepted and waits.
    pub connections: usize,
}

impl Default for Limits {
    /// At most half of the process's descriptors: the database and mana-llm need some too.
    fn default() -> Self {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        let half = usize::try_from(descriptors / 2).unwrap_or(usize::MAX);
        Self {
            client_timeout: Duration::from_secs(30),
            client_timeout_at_stop: Duration::from_secs(1),
            connections: half.clamp(8, 512),
        }
    }
}

/// Serves until `stop`, then returns once the requests that run are answered. Dropping it ends every
/// connection at once.
pub async fn serve(listener: TcpListener, routes: Router, limits: Limits, stop: CancellationToken) {
    let mut server = Server { routes, stop, clocks: Arc::default(), connections: JoinMap::new(), next: 0 };
    let mut pending = None;
    loop {
        let full = server.connections.len() >= limits.connections;
        let client_timeout = if full && pending.is_some() { Duration::ZERO } else { limits.client_timeout };
        tokio::select! {
            () = server.stop.cancelled() => break,
            Some(_) = server.connections.join_next() => {}
            id = server.clocks.overdue(client_timeout) => server.evict(id).await,
            accepted = listener.accept(), if pending.is_none() => match accepted {
                Ok((stream, _)) => pending = Some(stream),
                Err(error) => after_failed_accept(error).await,
            }
        }
        if server.connections.len() < limits.connections
            && let Some(stream) = pending.take()
        {
            server.spawn(stream);
        }
    }
    drop((listener, pending));
    while !server.connections.is_empty() {
        tokio::select! {
            Some(_) = server.connections.join_next() => {}
            id = server.clocks.overdue(limits.client_timeout_at_stop) => server.evict(id).await,
        }
    }
}

/// Most errors are the client's, which has gone. Without a descriptor the client stays in the kernel's queue, and
/// accepting again at once would fail again at once.
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
    clocks: Arc<ClientClocks>,
    connections: JoinMap<Id, ()>,
    next: Id,
}

impl Server {
    fn spawn(&mut self, stream: TcpStream) {
        self.next += 1;
        let connection = Connection {
            id: self.next,
            routes: TowerToHyperService::new(self.routes.clone()),
            clock: Mutex::new(Some(self.clocks.start(self.next))),
            clocks: Arc::clone(&self.clocks),
        };
        self.connections.spawn(self.next, connection.serve(stream, self.stop.clone()));
    }

    /// Closes a connection, and returns once its descriptor is free.
    async fn evict(&mut self, id: Id) {
        if self.connections.abort(&id) {
            // This one or another that ended meanwhile: either way a descriptor is free.
            self.connections.join_next().await;
        }
    }
}

/// The state of one connection.
struct Connection {
    id: Id,
    routes: TowerToHyperService<Router>,
    clocks: Arc<ClientClocks>,
    /// `None` while a handler works.
    clock: Mutex<Option<ClientClock>>,
}

impl Connection {
    /// Answers requests until either side closes the connection. Its errors are the client's, which has gone or speaks no
    /// HTTP.
    async fn serve(self, stream: TcpStream, stop: CancellationToken) {
        // Fails only if the client has gone.
        let _ = stream.set_nodelay(true);
        let http =
            http1::Builder::new().max_buf_size(LARGEST_HEAD).header_read_timeout(None).serve_connection(
                TokioIo::new(NamedRefusals::of(stream)),
                service_fn(|request| self.respond(request)),
            );
        let mut http = pin!(http);
        tokio::select! {
            _ = http.as_mut() => return,
            () = stop.cancelled() => http.as_mut().graceful_shutdown(),
        }
        let _ = http.await;
    }

    /// Answers one request. hyper polls this only once the answers before are written, so the clock of a client that does
    /// not take them runs on. And hyper writes the answer in the poll that ends this, so an eviction right after it loses
    /// no small answer.
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let clock = self.clock().take();
        let request = request.map(|body| {
            if body.is_end_stream() {
                return Body::new(body);
            }
            // The clock goes with the body, and stops once that has been read or dropped.
            Body::new(body.map_frame(move |frame| {
                let _ = &clock;
                frame
            }))
        });
        let answer = self.routes.call(request).await;
        *self.clock() = Some(self.clocks.start(self.id));
        answer
    }

    fn clock(&self) -> MutexGuard<'_, Option<ClientClock>> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
