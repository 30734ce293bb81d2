//! The client of mana-llm: one OpenAI-compatible call, with every way it can fail as a case.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::Span;

use super::response;
use crate::domain::json::field;
use crate::domain::run::{Disposition, TokenUsage};
use crate::planner::prompt::Messages;
use crate::telemetry::{context, ms};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TEMPERATURE: f64 = 0.3;
/// A plan has some kilobytes; what is larger is no plan. In bytes.
pub const LARGEST_ANSWER: usize = 1024 * 1024;
/// Of a model's name, in bytes.
const LONGEST_MODEL: usize = 100;
/// Says which model answered behind an alias.
const RESOLVED_HEADER: &str = "x-mana-llm-resolved";

/// Calls `POST {url}/v1/chat/completions`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LlmClient {
    http: Client,
    endpoint: String,
    key: SecretString,
    model: String,
    timeout: Duration,
}

/// `Retry-After` is believed within these.
const SHORTEST_RETRY_AFTER: Duration = Duration::from_secs(5);
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// Where it is not said.
const USUAL_RETRY_AFTER: Duration = Duration::from_secs(30);

/// What mana-llm asked for, within reason.
pub fn clamp_retry_after(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(USUAL_RETRY_AFTER).clamp(SHORTEST_RETRY_AFTER, LONGEST_RETRY_AFTER)
}

/// What the model said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// `choices[0].message.content`.
    pub content: String,
    /// The model behind the alias, if mana-llm told it.
    pub resolved_model: Option<String>,
    /// What it cost.
    pub usage: TokenUsage,
}

/// Why there is no completion. Holds nothing of the answer's text: it may repeat the prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum LlmError {
    /// Connect, headers and body took longer than the whole call may.
    #[error("mana-llm did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// No connection, or it broke.
    #[error("mana-llm is unreachable: {0}")]
    Unreachable(String),
    /// 429.
    #[error("mana-llm limits the rate{}", retry_hint(*.retry_after))]
    RateLimited {
        /// From now, where `Retry-After` says so in seconds or as a date.
        retry_after: Option<Duration>,
    },
    /// 3xx, 401, 403, 404, an unknown model: every call would be refused. A fault of the configuration.
    #[error("mana-llm rejected the call with {status}{}: check MANA_LLM_URL, MANA_LLM_MODEL and MANA_SERVICE_KEY", code_hint(.code.as_deref()))]
    #[strum(serialize = "rejected")]
    Misconfigured {
        /// Its status.
        status: StatusCode,
        /// `error.code` of the body, if it is one word.
        code: Option<String>,
    },
    /// Another 4xx: this call would be refused again, such as one that is too long for the model.
    #[error("mana-llm refused this call with {status}{}", code_hint(.code.as_deref()))]
    #[strum(serialize = "refused")]
    PromptRefused {
        /// Its status.
        status: StatusCode,
        /// `error.code` of the body, if it is one word.
        code: Option<String>,
    },
    /// 5xx, also when every provider of its chain failed.
    #[error("mana-llm failed with {0}")]
    ServerFault(StatusCode),
    /// A success with something else than a completion.
    #[error("mana-llm answered, but {0}")]
    #[strum(serialize = "unusable")]
    BadResponse(&'static str),
}

impl LlmClient {
    /// `url` is mana-llm's base, such as `http://mana-llm:3025`; `timeout` bounds a whole call.
    pub fn new(url: &str, key: SecretString, model: String, timeout: Duration) -> reqwest::Result<Self> {
        let http = crate::http_client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would carry the service key to whoever the answer names.
            .redirect(redirect::Policy::none())
            .build()?;
        let endpoint = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
        Ok(Self { http, endpoint, key, model, timeout })
    }

    /// Asks for a plan. Dropping the future drops the call.
    #[tracing::instrument(name = "llm_call", skip_all, fields(otel.kind = "client", model = self.model, status,
        error_kind, resolved_model, prompt_tokens, completion_tokens, latency_ms, otel.status_code))]
    pub async fn complete(&self, messages: &Messages) -> Result<Completion, LlmError> {
        let began = Instant::now();
        let result = tokio::time::timeout(self.timeout, self.call(messages))
            .await
            .unwrap_or(Err(LlmError::Timeout(self.timeout)));
        record(&result, began.elapsed());
        result
    }

    async fn call(&self, messages: &Messages) -> Result<Completion, LlmError> {
        let body = json!({
            "model": self.model,
            "temperature": TEMPERATURE,
            "messages": messages,
            "response_format": { "type": "json_object" },
        });
        let request = self.http.post(&self.endpoint).bearer_auth(self.key.expose_secret());
        let request = request.headers(context::headers()).header("content-type", "application/json");
        let request = request.body(body.to_string());
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        Span::current().record("status", status.as_u16());
        let headers = response.headers().clone();
        if let Some(error) = passing_fault(status, &headers) {
            return Err(error);
        }
        if status.is_success() && is_encoded(&headers) {
            return Err(LlmError::BadResponse("its body is compressed, which was not asked for"));
        }
        let body = self.body(response).await;
        if !status.is_success() {
            return Err(refusal(status, error_code(&body.unwrap_or_default())));
        }
        completion(&headers, &body?)
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
        LlmError::Unreachable(crate::http_client::cause(&error))
    }
}

/// What the call's span tells of its end.
fn record(result: &Result<Completion, LlmError>, latency: Duration) {
    let span = Span::current();
    span.record("latency_ms", ms(latency));
    match result {
        Ok(completion) => {
            span.record("resolved_model", completion.resolved_model.as_deref());
            span.record("prompt_tokens", completion.usage.prompt_tokens);
            span.record("completion_tokens", completion.usage.completion_tokens);
        }
        Err(error) => {
            span.record("error_kind", <&str>::from(error));
            span.record("otel.status_code", "ERROR");
        }
    }
}

fn completion(headers: &HeaderMap, body: &[u8]) -> Result<Completion, LlmError> {
    let answer = response::read(body).map_err(LlmError::BadResponse)?;
    let resolved_model =
        headers.get(RESOLVED_HEADER).and_then(|model| model.to_str().ok()).filter(|model| is_name(model));
    Ok(Completion {
        content: answer.content,
        resolved_model: resolved_model.map(str::to_owned),
        usage: answer.usage,
    })
}

/// A header is free text: what does not look like the name of a model is not kept.
fn is_name(model: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+".contains(&byte);
    !model.is_empty() && model.len() <= LONGEST_MODEL && model.bytes().all(fits)
}

/// No request of ours accepts an encoding. A body that is never unpacked cannot grow past its limit.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Would only this call be refused, or every one?
fn refusal(status: StatusCode, code: Option<String>) -> LlmError {
    let mission = matches!(status.as_u16(), 400 | 413 | 414 | 415 | 422 | 431);
    let unknown_model = matches!(
        code.as_deref(),
        Some("model_not_found" | "unknown_model" | "invalid_model" | "model_not_available")
    );
    if mission && !unknown_model {
        LlmError::PromptRefused { status, code }
    } else {
        LlmError::Misconfigured { status, code }
    }
}

impl LlmError {
    /// What it means for the next attempt.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Timeout(_) | Self::Unreachable(_) | Self::ServerFault(_) | Self::BadResponse(_) => {
                Disposition::Transient
            }
            Self::RateLimited { retry_after } => {
                Disposition::RateLimited { retry_after: clamp_retry_after(*retry_after) }
            }
            Self::Misconfigured { .. } => Disposition::Misconfigured,
            Self::PromptRefused { .. } => Disposition::MissionFault,
        }
    }
}

/// What the status alone tells: the body of such an answer may come slowly, or never.
fn passing_fault(status: StatusCode, headers: &HeaderMap) -> Option<LlmError> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(LlmError::RateLimited { retry_after: retry_after(headers) }),
        StatusCode::REQUEST_TIMEOUT => Some(LlmError::ServerFault(status)),
        _ => status.is_server_error().then_some(LlmError::ServerFault(status)),
    }
}

/// Seconds, or an HTTP date, which is taken against the answer's own `Date`: no clock of ours.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let sent = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    Some(at.duration_since(sent).unwrap_or_default())
}

/// `error.code`, such as `model_not_found`. Only if it is one short word: a sentence could repeat
/// the prompt.
fn error_code(body: &[u8]) -> Option<String> {
    let error: &RawValue = field(str::from_utf8(body).ok()?, "error")?;
    let code: String = field(error.get(), "code")?;
    let one_word = code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    one_word.then_some(code)
}

fn retry_hint(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(" and asks to wait {} s", wait.as_secs())).unwrap_or_default()
}

fn code_hint(code: Option<&str>) -> String {
    code.map(|code| format!(" ({code})")).unwrap_or_default()
}
