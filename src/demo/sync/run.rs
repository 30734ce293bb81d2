//! What only the demo has: a run on demand with the demo's service key, and what the model was asked.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::SyncError;
use super::user::User;
use crate::demo::llm::StandIn;
use crate::http_client;

/// A model may think for `MANA_LLM_TIMEOUT_MS`, twice where its first plan needs a repair.
const PATIENCE: Duration = Duration::from_secs(170);
/// The newest prompts that are shown.
const MOST_PROMPTS: usize = 50;

/// The service, as the demo reaches it.
#[derive(Debug, Clone)]
pub(super) struct Service {
    client: Client,
    url: String,
    key: String,
    llm: Option<Arc<StandIn>>,
}

impl Service {
    pub(super) fn new(url: String, key: String, llm: Option<Arc<StandIn>>) -> reqwest::Result<Self> {
        let client = http_client::builder().timeout(PATIENCE).build()?;
        Ok(Self { client, url, key, llm })
    }

    async fn post(&self, url: Url) -> reqwest::Result<(u16, String)> {
        let response = self.client.post(url).header("X-Service-Key", &self.key).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}

/// The body of `POST /demo/run`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunRequest {
    mission_id: String,
}

/// The service plans the user's mission now. Its refusals are passed on as they are.
pub(super) async fn run(
    State(service): State<Service>,
    User(user): User,
    body: Result<Json<RunRequest>, JsonRejection>,
) -> Result<Json<Value>, SyncError> {
    let Json(RunRequest { mission_id }) = body?;
    let url = run_url(&service.url, &user, &mission_id)?;
    let gone = |error| SyncError(StatusCode::SERVICE_UNAVAILABLE, format!("the service: {error}"));
    let (status, text) = service.post(url).await.map_err(gone)?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if status == 200 {
        let [outcome, reason, iteration_id] = ["outcome", "reason", "iterationId"].map(|field| &body[field]);
        return Ok(Json(json!({ "outcome": outcome, "reason": reason, "iterationId": iteration_id })));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Err(SyncError(status, body["error"].as_str().unwrap_or("the service gave no reason").to_owned()))
}

/// Ids are others' text, so each becomes one segment of the path, whatever it holds.
fn run_url(service: &str, user: &str, mission_id: &str) -> Result<Url, SyncError> {
    let mut url = Url::parse(service).map_err(|error| SyncError::bad(error.to_string()))?;
    let mut path = url.path_segments_mut().map_err(|()| SyncError::bad("the service's URL has no path"))?;
    path.pop_if_empty().extend(["internal", "missions", user, mission_id, "run"]);
    drop(path);
    Ok(url)
}

/// What the stand-in of mana-llm was asked for, oldest first. Of all users: the prompts do not tell whose they are.
pub(super) async fn prompts(State(service): State<Service>, User(_): User) -> Json<Value> {
    let requests = service.llm.map(|llm| llm.requests()).unwrap_or_default();
    let newest = &requests[requests.len().saturating_sub(MOST_PROMPTS)..];
    let prompt = |body: &Value| json!({ "missionId": null, "messages": body["messages"] });
    let prompts: Vec<Value> = newest.iter().map(|request| prompt(&request.body)).collect();
    Json(json!({ "prompts": prompts }))
}
