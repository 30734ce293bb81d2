//! A stand-in for mana-llm: the same protocol over a socket, with good or bad answers as the caller says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::answer;

/// How it answers from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// A plan made from the prompt.
    Plan,
    /// A plan, after so long.
    Late(Duration),
    /// This text as the model's answer.
    Say(String),
    /// This status, headers and body.
    Raw(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A body without end.
    Flood,
    /// Headers that promise a body, and nothing else.
    Headers,
    /// Headers at once, then a byte every so often.
    Drip(Duration),
    /// The first half of a plan, and the connection breaks.
    Break,
    /// No answer at all.
    Hang,
    /// A plan, but only once [`StandIn::behave`] has been called with something else.
    Hold,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The `Authorization` header, empty where there is none.
    pub authorization: String,
    /// The `X-API-Key` header, empty where there is none.
    pub api_key: String,
    /// The `traceparent` header.
    pub traceparent: String,
    /// The JSON body.
    pub body: Value,
}

/// A running stand-in. Stops when dropped.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    shared: Arc<Shared>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    behaviour: watch::Sender<Behaviour>,
    script: Mutex<VecDeque<Behaviour>>,
    count: watch::Sender<usize>,
    requests: Mutex<Vec<Recorded>>,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// Where no port can be bound.
    pub async fn start(behaviour: Behaviour) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(behaviour),
            script: Mutex::default(),
            count: watch::Sender::new(0),
            requests: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let routes =
            Router::new().route("/v1/chat/completions", post(complete)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await }).abort_handle();
        Ok(Self { url, shared, server })
    }

    /// What `MANA_LLM_URL` should be.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Changes the answers, also of calls that it holds.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    /// The next calls get these answers, one each in the order of their arrival; the calls after them are answered as
    /// [`StandIn::behave`] said. A `Hold` among these also waits for the next call of `behave`.
    pub fn script(&self, answers: impl IntoIterator<Item = Behaviour>) {
        self.shared.script.lock().expect("no holder panics").extend(answers);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.requests.lock().expect("no holder panics").clone()
    }

    /// Returns once `count` requests have arrived.
    pub async fn arrived(&self, count: usize) {
        let mut counted = self.shared.count.subscribe();
        let _ = counted.wait_for(|arrived| *arrived >= count).await;
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn complete(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let header =
        |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let recorded = Recorded {
        authorization: header("authorization"),
        api_key: header("x-api-key"),
        traceparent: header("traceparent"),
        body: body.clone(),
    };
    let (mut behaviour, scripted) = shared.record(recorded);
    match scripted {
        Some(Behaviour::Hold) => drop(behaviour.changed().await),
        Some(scripted) => return respond(scripted, &body).await,
        None => {}
    }
    let Ok(behaviour) = behaviour.wait_for(|now| *now != Behaviour::Hold).await.map(|now| now.clone()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    respond(behaviour, &body).await
}

impl Shared {
    /// Keeps the request, and takes the next answer of the script, if there is one. The receiver tells what
    /// [`StandIn::behave`] says from now on. The count goes up last, because a test that has waited for it may change
    /// the answers at once.
    fn record(&self, request: Recorded) -> (watch::Receiver<Behaviour>, Option<Behaviour>) {
        let mut requests = self.requests.lock().expect("no holder panics");
        requests.push(request);
        let scripted = self.script.lock().expect("no holder panics").pop_front();
        let behaviour = self.behaviour.subscribe();
        self.count.send_modify(|count| *count += 1);
        (behaviour, scripted)
    }
}

async fn respond(behaviour: Behaviour, request: &Value) -> Response {
    match behaviour {
        Behaviour::Plan | Behaviour::Hold => completion(&answer::plan_for(request)),
        Behaviour::Late(wait) => {
            tokio::time::sleep(wait).await;
            completion(&answer::plan_for(request))
        }
        Behaviour::Say(text) => completion(&text),
        Behaviour::Raw(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap_or_default()
        }
        Behaviour::Break => half(&answer::plan_for(request)),
        Behaviour::Flood => endless(Duration::ZERO, vec![b' '; 64 * 1024]),
        Behaviour::Drip(pause) => endless(pause, vec![b' ']),
        Behaviour::Headers => {
            let nothing = futures_util::stream::pending::<std::io::Result<Vec<u8>>>();
            ([("content-length", "1000")], Body::from_stream(nothing)).into_response()
        }
        Behaviour::Hang => std::future::pending().await,
    }
}

fn completion(content: &str) -> Response {
    ([("x-mana-llm-resolved", "stand-in/demo")], Json(completion_body(content))).into_response()
}

fn completion_body(content: &str) -> Value {
    json!({
        "id": "stand-in",
        "object": "chat.completion",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150 },
    })
}

/// The first half of a completion. The error after it makes the server close the connection; the short wait before lets
/// it send that half.
fn half(content: &str) -> Response {
    let mut body = completion_body(content).to_string().into_bytes();
    body.truncate(body.len() / 2);
    let end = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    };
    let chunks = stream::once(async { Ok(body) }).chain(stream::once(end));
    ([("content-type", "application/json")], Body::from_stream(chunks)).into_response()
}

fn endless(pause: Duration, chunk: Vec<u8>) -> Response {
    let chunks = stream::unfold(chunk, move |chunk| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(chunk.clone()), chunk))
    });
    ([("content-type", "application/json")], Body::from_stream(chunks)).into_response()
}
