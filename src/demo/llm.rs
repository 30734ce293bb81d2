//! A stand-in for mana-llm: the same protocol over a socket, answers on demand, good or bad.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
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
    Raw(u16, Vec<(&'static str, String)>, String),
    /// A body without end.
    Flood,
    /// Headers at once, then a byte every so often.
    Drip(Duration),
    /// No answer at all.
    Hang,
    /// A plan, but only once [`StandIn::behave`] has been called with something else.
    Hold,
}

/// What a client sent.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The `Authorization` header.
    pub authorization: String,
    /// The JSON body.
    pub body: Value,
}

/// The server. Stops when dropped.
#[derive(Debug)]
pub struct StandIn {
    url: String,
    shared: Arc<Shared>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    behaviour: watch::Sender<Behaviour>,
    count: watch::Sender<usize>,
    requests: Mutex<Vec<Recorded>>,
}

impl StandIn {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(behaviour: Behaviour) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            behaviour: watch::Sender::new(behaviour),
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
    let authorization =
        headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let recorded = Recorded { authorization: authorization.to_owned(), body: body.clone() };
    shared.requests.lock().expect("no holder panics").push(recorded);
    shared.count.send_modify(|count| *count += 1);
    let mut behaviour = shared.behaviour.subscribe();
    let Ok(behaviour) = behaviour.wait_for(|now| *now != Behaviour::Hold).await.map(|now| now.clone()) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    respond(behaviour, &body).await
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
        Behaviour::Flood => stream(Duration::ZERO, vec![b' '; 64 * 1024]),
        Behaviour::Drip(pause) => stream(pause, vec![b' ']),
        Behaviour::Hang => std::future::pending().await,
    }
}

fn completion(content: &str) -> Response {
    let body = json!({
        "id": "stand-in",
        "object": "chat.completion",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": content } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150 },
    });
    ([("x-mana-llm-resolved", "stand-in/demo")], Json(body)).into_response()
}

fn stream(pause: Duration, chunk: Vec<u8>) -> Response {
    let chunks = futures_util::stream::unfold(chunk, move |chunk| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(chunk.clone()), chunk))
    });
    ([("content-type", "application/json")], Body::from_stream(chunks)).into_response()
}
