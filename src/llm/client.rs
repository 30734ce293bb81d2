//! The client of mana-llm: one OpenAI-compatible call, bounded in time and in memory.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Client, RequestBuilder, Response, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tracing::Span;

use super::error::{FinishReason, LlmError};
use super::refusal;
use super::response::{self, Answer, Reading};
use crate::config::Config;
use crate::domain::run::CallTokens;
use crate::planner::prompt::Messages;
use crate::telemetry::{context, ms};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that reading the body of an error may take. It says more than the status does, but may come slowly, or never.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);
const TEMPERATURE: f64 = 0.3;
/// The largest body of an answer, in bytes. A plan has some kilobytes.
pub const LARGEST_ANSWER: usize = 1024 * 1024;
/// The longest name of a model, in bytes.
const LONGEST_MODEL: usize = 100;
/// The header in which mana-llm names the model behind an alias.
const RESOLVED_HEADER: &str = "x-mana-llm-resolved";
const API_KEY_HEADER: &str = "x-api-key";

/// Calls `POST {url}/v1/chat/completions`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LlmClient {
    http: Client,
    endpoint: String,
    credential: Credential,
    model: String,
    timeout: Duration,
}

/// How we identify ourselves to mana-llm.
#[derive(Debug, Clone)]
pub enum Credential {
    /// `MANA_SERVICE_KEY` as `Authorization: Bearer`, for a mana-llm that has no key set.
    ServiceKey(SecretString),
    /// `MANA_LLM_API_KEY` as `X-API-Key`. Where mana-llm has a key set it takes nothing else, so the service key, which
    /// opens `/internal` of every service, is not sent along.
    ApiKey(SecretString),
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// `choices[0].message.content`.
    pub content: String,
    /// Why the model stopped, where that was not by itself: the content may be half a plan.
    pub stopped: Option<FinishReason>,
}

/// What a call cost that mana-llm answered with a success, also where the answer holds no usable text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The model behind the alias, if mana-llm told it.
    pub resolved_model: Option<String>,
    /// 0 where mana-llm did not tell them.
    pub tokens: CallTokens,
}

impl LlmClient {
    /// The client that a configuration describes. Connects to nothing yet.
    ///
    /// # Errors
    /// Those of [`LlmClient::new`].
    pub fn from_config(config: &Config) -> reqwest::Result<Self> {
        let service_key = || Credential::ServiceKey(config.service_key.clone());
        let credential = config.llm_api_key.clone().map_or_else(service_key, Credential::ApiKey);
        Self::new(&config.llm_url, credential, config.llm_model.clone(), config.llm_timeout)
    }

    /// `url` is mana-llm's base, such as `http://mana-llm:3025`; `timeout` bounds a whole call.
    ///
    /// # Errors
    /// Where no HTTP client can be built, such as for want of the system's certificates.
    pub fn new(url: &str, credential: Credential, model: String, timeout: Duration) -> reqwest::Result<Self> {
        let http = crate::http_client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would carry the service key to whoever the answer names.
            .redirect(redirect::Policy::none())
            .build()?;
        let endpoint = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
        Ok(Self { http, endpoint, credential, model, timeout })
    }

    /// Asks for a plan. Dropping the future drops the call. `cost` is set as soon as the body of a success was read: an
    /// answer that is of no use was paid for all the same.
    ///
    /// # Errors
    /// Each way to get no completion is a case of [`LlmError`].
    #[tracing::instrument(name = "llm_call", skip_all, fields(otel.kind = "client", model = self.model, status,
        error_kind, resolved_model, prompt_tokens, completion_tokens, latency_ms, otel.status_code))]
    pub async fn complete(
        &self,
        messages: &Messages,
        cost: &mut Option<Cost>,
    ) -> Result<Completion, LlmError> {
        let began = Instant::now();
        let result = tokio::time::timeout(self.timeout, self.call(messages, cost))
            .await
            .unwrap_or(Err(LlmError::Timeout(self.timeout)));
        record(result.as_ref().err(), cost.as_ref(), began.elapsed());
        result
    }

    async fn call(&self, messages: &Messages, cost: &mut Option<Cost>) -> Result<Completion, LlmError> {
        let body = json!({
            "model": self.model,
            "temperature": TEMPERATURE,
            "messages": messages,
            "response_format": { "type": "json_object" },
        });
        let request = self.authorize(self.http.post(&self.endpoint));
        let request = request.headers(context::headers()).header("content-type", "application/json");
        let request = request.body(body.to_string());
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        Span::current().record("status", status.as_u16());
        let headers = response.headers().clone();
        if let Some(error) = refusal::by_status(status, &headers) {
            return Err(error);
        }
        if !status.is_success() {
            let body = tokio::time::timeout(ERROR_BODY_TIMEOUT, self.body(response)).await;
            return Err(refusal::by_body(status, &headers, &body.unwrap_or(Ok(vec![])).unwrap_or_default()));
        }
        if is_encoded(&headers) {
            return Err(LlmError::BadResponse("its body is compressed, which was not asked for"));
        }
        let Reading { tokens, answer } = response::read(&self.body(response).await?);
        *cost = Some(Cost { resolved_model: resolved_model(&headers), tokens });
        answer.map(|Answer { content, stopped }| Completion { content, stopped })
    }

    fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credential {
            Credential::ServiceKey(key) => request.bearer_auth(key.expose_secret()),
            Credential::ApiKey(key) => request.header(API_KEY_HEADER, key.expose_secret()),
        }
    }

    /// Reads chunk by chunk, so that an endless answer costs no more than the limit.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, LlmError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(LlmError::BadResponse("its body is over 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: reqwest::Error) -> LlmError {
        if error.is_timeout() && !error.is_connect() {
            return LlmError::Timeout(self.timeout);
        }
        LlmError::Unreachable { cause: crate::http_client::cause(&error), is_sent: !error.is_connect() }
    }
}

/// Writes the end of the call into its span.
fn record(error: Option<&LlmError>, cost: Option<&Cost>, latency: Duration) {
    let span = Span::current();
    span.record("latency_ms", ms(latency));
    if let Some(cost) = cost {
        span.record("resolved_model", cost.resolved_model.as_deref());
        span.record("prompt_tokens", cost.tokens.prompt);
        span.record("completion_tokens", cost.tokens.completion);
    }
    if let Some(error) = error {
        span.record("error_kind", <&str>::from(error));
        span.record("otel.status_code", "ERROR");
    }
}

fn resolved_model(headers: &HeaderMap) -> Option<String> {
    let model = headers.get(RESOLVED_HEADER)?.to_str().ok()?;
    is_name(model).then(|| model.to_owned())
}

/// Does this look like the name of a model? A header is free text, and this one becomes a label and a column.
fn is_name(model: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+".contains(&byte);
    !model.is_empty() && model.len() <= LONGEST_MODEL && model.bytes().all(fits)
}

/// Is the body compressed? No request of ours accepts that: a body that is never unpacked cannot grow past its limit.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
