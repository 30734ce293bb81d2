//! An answer of mana-llm that is no success → its error: this call's fault, everybody's, or the configuration's.
//!
//! mana-llm's own errors are `{"detail": {"kind": …, "message": …}}`, `{"detail": "text"}`, or for a request that it
//! cannot read `{"detail": [{…}, …]}`. Other OpenAI-compatible servers answer `{"error": {"code": …}}`.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::value::RawValue;

use super::error::LlmError;
use crate::domain::json::field;

/// The longest kind or code, in bytes.
const LONGEST_KIND: usize = 40;

/// What the status alone decides. Of such an answer the body need not be read.
pub(super) fn by_status(status: StatusCode, headers: &HeaderMap) -> Option<LlmError> {
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    limited.then(|| LlmError::RateLimited { retry_after: retry_after(headers) })
}

/// What status and body say together. A body that did not come is empty here.
pub(super) fn by_body(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> LlmError {
    let body = str::from_utf8(body).unwrap_or_default();
    let detail: Option<&RawValue> = field(body, "detail");
    let kind = detail.and_then(|detail| one_word(detail, "kind"));
    match kind.as_deref() {
        Some("no_healthy_provider") => {
            return LlmError::NoHealthyProvider { retry_after: retry_after(headers) };
        }
        Some("auth" | "capability") => return LlmError::Misconfigured { status, kind },
        Some("blocked" | "truncated") => return LlmError::PromptRefused { status, kind },
        _ => {}
    }
    let is_list = detail.is_some_and(|detail| detail.get().starts_with('['));
    if status == StatusCode::UNPROCESSABLE_ENTITY && is_list {
        return LlmError::MalformedRequest(status);
    }
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        return LlmError::ServerFault(status);
    }
    let error: Option<&RawValue> = field(body, "error");
    refused(status, kind.or_else(|| error.and_then(|error| one_word(error, "code"))))
}

/// Would only this call be refused, or every one?
fn refused(status: StatusCode, kind: Option<String>) -> LlmError {
    let is_about_the_prompt = matches!(status.as_u16(), 400 | 413 | 414 | 415 | 422 | 431);
    let is_unknown_model = matches!(
        kind.as_deref(),
        Some("model_not_found" | "unknown_model" | "invalid_model" | "model_not_available")
    );
    if is_about_the_prompt && !is_unknown_model {
        LlmError::PromptRefused { status, kind }
    } else {
        LlmError::Misconfigured { status, kind }
    }
}

/// The text of this field, only if it is one short word: a sentence could repeat the prompt.
fn one_word(object: &RawValue, name: &str) -> Option<String> {
    let word: String = field(object.get(), name)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    (word.len() <= LONGEST_KIND && !word.is_empty() && word.bytes().all(fits)).then_some(word)
}

/// Seconds, or an HTTP date. A date is compared with the answer's own `Date`, so that no clock of ours is needed.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let sent = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    Some(at.duration_since(sent).unwrap_or_default())
}
