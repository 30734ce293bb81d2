//! Clients that drip, say nothing, take nothing, or are too many. Raw sockets: no client library is this rude.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{get, post};
use mana_ai::http::server::{self, Limits};
use mana_ai::http::{AppState, router};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::process::{Serving, command};
use crate::support::{KEY, World, soon};

const OK: &str = "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nhost: x\r\n\r\n";
const HOUR: Duration = Duration::from_secs(3600);
/// Long enough to send one request on a busy machine.
const SHORT: Duration = Duration::from_secs(1);

/// Short of patience, with room for everyone.
const IMPATIENT: Limits = Limits { client_timeout: SHORT, client_timeout_at_stop: SHORT, connections: 100 };

/// Requests at `/held` arrive, and go on when they may.
struct Gate {
    arrived: Semaphore,
    may_go: Semaphore,
}

impl Gate {
    async fn pass(&self) -> &'static str {
        self.arrived.add_permits(1);
        self.may_go.acquire().await.unwrap().forget();
        "done"
    }
}

/// A server of these limits on a port of its own.
struct Served {
    address: SocketAddr,
    gate: Arc<Gate>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Served {
    async fn new(limits: Limits) -> Self {
        let gate = Arc::new(Gate { arrived: Semaphore::new(0), may_go: Semaphore::new(0) });
        let routes = Router::new()
            .route("/ok", get(async || "done"))
            .route("/large", get(async || "x".repeat(1 << 20)))
            .route("/read", post(async |_body: String| "done"))
            // The one keeps its request, which has no body; the other reads the body.
            .route("/held", get(async |State(gate): State<Arc<Gate>>, _request: Request| gate.pass().await))
            .route("/held", post(async |State(gate): State<Arc<Gate>>, _body: String| gate.pass().await))
            .with_state(Arc::clone(&gate));
        Self { gate, ..Self::with(limits, routes).await }
    }

    async fn with(limits: Limits, routes: Router) -> Self {
        let gate = Arc::new(Gate { arrived: Semaphore::new(0), may_go: Semaphore::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let server = tokio::spawn(server::serve(listener, routes, limits, stop.clone()));
        Self { address, gate, stop, server }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that has sent this.
    async fn sent(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    /// A connection whose request a handler works on.
    async fn working(&self, request: &str) -> TcpStream {
        let stream = self.sent(request).await;
        soon(self.gate.arrived.acquire()).await.unwrap().forget();
        stream
    }
}

/// Reads one answer of a small route.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    while !answer.ends_with("done") {
        let mut bytes = [0; 1024];
        let read = soon(stream.read(&mut bytes)).await.unwrap();
        assert!(read > 0, "cut off after {answer:?}");
        answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    answer
}

/// Sends a byte every few milliseconds until the server ends the connection: what it said.
async fn drip(mut stream: TcpStream) -> String {
    let (mut said, mut bytes) = (Vec::new(), [0; 1024]);
    let cut_off = async {
        loop {
            tokio::select! {
                read = stream.read(&mut bytes) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(read) => said.extend_from_slice(&bytes[..read]),
                },
                () = tokio::time::sleep(Duration::from_millis(10)) => {
                    let _ = stream.write_all(b"x").await;
                }
            }
        }
    };
    soon(cut_off).await;
    String::from_utf8(said).unwrap()
}

/// Says nothing (more) until the server ends the connection.
async fn ended(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn dripped_headers_are_cut_off() {
    let served = Served::new(IMPATIENT).await;
    assert_eq!(drip(served.sent("GET /ok HTTP/1.1\r\nx-slow: ").await).await, "");
}

#[tokio::test]
async fn silence_is_cut_off() {
    let served = Served::new(IMPATIENT).await;
    ended(&mut served.connect().await).await;
    let mut idle = served.sent(OK).await;
    answer(&mut idle).await;
    ended(&mut idle).await;
}

#[tokio::test]
async fn a_dripped_body_is_cut_off() {
    let served = Served::new(IMPATIENT).await;
    let head = "POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n";
    assert_eq!(drip(served.sent(head).await).await, "");
}

/// The route reads no body: it answers, and does not wait for the rest.
#[tokio::test]
async fn a_dripped_body_that_nobody_reads_is_cut_off() {
    let world = World::new().await;
    let state = AppState {
        runner: Arc::clone(&world.runner),
        service_key: KEY.into(),
        tick_enabled: false,
        background_tasks: TaskTracker::new(),
    };
    let served = Served::with(IMPATIENT, router(state)).await;
    let head = format!(
        "POST /internal/tick HTTP/1.1\r\nhost: x\r\nx-service-key: {KEY}\r\ncontent-length: 60000\r\n\r\n"
    );
    let said = drip(served.sent(&head).await).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.contains("dueMissionCount"), "{said}");
}

#[tokio::test]
async fn who_takes_no_answer_is_cut_off() {
    let served = Served::new(IMPATIENT).await;
    let mut stream = served.connect().await;
    // Once the server takes no more either, this waits until the connection is reset.
    soon(async { while stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {} }).await;
}

#[tokio::test]
async fn large_headers_are_refused() {
    let served = Served::new(Limits { client_timeout: HOUR, ..IMPATIENT }).await;
    let mut stream = served.sent(&format!("GET /ok HTTP/1.1\r\nx: {}", "x".repeat(16 * 1024))).await;
    let (status, body) = refusal(&mut stream).await;
    assert_eq!((status.as_str(), body["error"].as_str().unwrap().contains("16 KiB")), ("431", true));
}

/// hyper refuses these by itself, before any route.
#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let served = Served::new(Limits { client_timeout: HOUR, ..IMPATIENT }).await;
    let many = format!("GET /ok HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    for (request, expected) in
        [("nonsense\r\n\r\n", "400"), ("GET /ok HTTP/9.9\r\n\r\n", "400"), (&many, "431")]
    {
        let (status, body) = refusal(&mut served.sent(request).await).await;
        assert_eq!(status, expected, "{request}");
        assert!(body["error"].is_string(), "{body}");
    }
    let mut stream = served.sent("GET /ok HTTP/1.1\r\nhost: x\r\n\r\n").await;
    answer(&mut stream).await;
}

/// The status and the body of an answer after which the connection ends.
async fn refusal(stream: &mut TcpStream) -> (String, serde_json::Value) {
    let mut answer = String::new();
    // Not to the end: what it did not read of a request makes the server reset the connection.
    while !answer.ends_with('}') {
        answer.push(soon(stream.read_u8()).await.unwrap().into());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    (head[9..12].to_owned(), serde_json::from_str(body).unwrap())
}

/// The client has done its part: a connection that was opened later is cut off before.
#[tokio::test]
async fn a_long_request_is_not_cut_off() {
    let served = Served::new(IMPATIENT).await;
    let mut without_body = served.working(HELD).await;
    let mut with_body =
        served.working("POST /held HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody").await;
    ended(&mut served.connect().await).await;
    served.gate.may_go.add_permits(2);
    answer(&mut without_body).await;
    answer(&mut with_body).await;
}

#[tokio::test]
async fn over_the_bound_the_longest_wait_makes_way() {
    let served = Served::new(Limits { client_timeout: HOUR, connections: 4, ..IMPATIENT }).await;
    let mut working = served.working(HELD).await;
    let mut oldest = served.connect().await;
    let mut second = served.sent("GET /ok HTTP/1.1\r\n").await;
    let mut third = served.connect().await;
    let mut newcomer = served.sent(OK).await;
    answer(&mut newcomer).await;
    ended(&mut oldest).await;
    // The others are still served, and so is the request of before.
    second.write_all(b"host: x\r\n\r\n").await.unwrap();
    answer(&mut second).await;
    third.write_all(OK.as_bytes()).await.unwrap();
    answer(&mut third).await;
    served.gate.may_go.add_permits(1);
    answer(&mut working).await;
}

#[tokio::test]
async fn when_all_are_at_work_the_next_waits() {
    let served = Served::new(Limits { client_timeout: HOUR, connections: 2, ..IMPATIENT }).await;
    let mut first = served.working(HELD).await;
    let mut second = served.working(HELD).await;
    let mut next = served.sent(OK).await;
    served.gate.may_go.add_permits(2);
    answer(&mut first).await;
    answer(&mut second).await;
    answer(&mut next).await;
}

#[tokio::test]
async fn a_stop_waits_for_what_runs_alone() {
    let served = Served::new(Limits { client_timeout: HOUR, ..IMPATIENT }).await;
    // First, so that the server has read it by the time of the stop.
    let mut halfway = served.sent("GET /ok HTTP/1.1\r\n").await;
    let mut silent = served.connect().await;
    let mut working = served.working(HELD).await;
    let mut idle = served.sent(OK).await;
    answer(&mut idle).await;
    served.stop.cancel();
    for stream in [&mut idle, &mut silent, &mut halfway] {
        ended(stream).await;
    }
    soon(async { while TcpStream::connect(served.address).await.is_ok() {} }).await;
    served.gate.may_go.add_permits(1);
    assert!(answer(&mut working).await.contains("connection: close"));
    ended(&mut working).await;
    soon(served.server).await.unwrap();
}

#[tokio::test]
async fn no_connection_outlives_its_server() {
    let served = Served::new(Limits { client_timeout: HOUR, ..IMPATIENT }).await;
    let mut working = served.working(HELD).await;
    served.server.abort();
    ended(&mut working).await;
}

/// The service as a process, without the loop and its connections.
fn quiet(world: &World) -> Command {
    let mut command = command(world, &["serve"]);
    command.env("TICK_ENABLED", "false").env("MIGRATE_ON_START", "false");
    command
}

async fn healthy(serving: &Serving) {
    // Far below the patience of 30 s: it must not take that to get in.
    let client = mana_ai::http_client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let response = client.get(format!("http://127.0.0.1:{}/health", serving.port)).send().await.unwrap();
    assert_eq!(response.status(), 200);
}

async fn until(fits: impl Fn() -> bool) {
    soon(async {
        while !fits() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_thousand_connections_cost_nobody_else_anything() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let world = World::new().await;
    let serving = Serving::start(quiet(&world)).await;
    healthy(&serving).await;
    let before = serving.descriptors();
    let flood = async {
        let mut clients = Vec::new();
        for _ in 0..1000 {
            let mut client = TcpStream::connect(("127.0.0.1", serving.port)).await.unwrap();
            let _ = client.write_all(b"GET /health HTTP/1.1\r\n").await;
            clients.push(client);
        }
        healthy(&serving).await;
        clients
    };
    // Nobody's patience has run out by then.
    let clients = tokio::time::timeout(Duration::from_secs(20), flood).await.unwrap();
    let during = serving.descriptors();
    assert!(during <= before + 520, "{before}, then {during}");
    drop(clients);
    // The database's connections come and go.
    until(|| serving.descriptors() <= before + 10).await;
}

#[tokio::test]
async fn without_descriptors_clients_wait() {
    let world = World::new().await;
    let usual = Serving::start(quiet(&world)).await.descriptors();
    let command = quiet(&world);
    let mut limited = Command::new("/bin/sh");
    let ulimit = format!("ulimit -n {} && exec \"$0\" serve", usual + 3);
    limited.args(["-c", &ulimit]).arg(command.get_program()).env_clear();
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let serving = Serving::start(limited).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(TcpStream::connect(("127.0.0.1", serving.port)).await.unwrap());
    }
    until(|| serving.descriptors() >= usual + 3).await;
    drop(clients);
    healthy(&serving).await;
    serving.signal(Signal::SIGTERM);
    let (code, log) = serving.end().await;
    let complaints = log.matches("cannot accept connections").count();
    assert!(code == Some(0) && (1..60).contains(&complaints), "{code:?}, {complaints} complaints");
}
