//! Why there is no completion, what an operator is told of it, and what it means for the next attempt.

use std::time::Duration;

use reqwest::StatusCode;

use crate::domain::run::Disposition;

/// A `Retry-After` below this is raised to it, one above the longest is cut to that.
const SHORTEST_RETRY_AFTER: Duration = Duration::from_secs(5);
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);
/// The wait after a 429 that has no `Retry-After`.
const USUAL_RETRY_AFTER: Duration = Duration::from_secs(30);
/// The wait after "no healthy provider". mana-llm holds a provider for 60 s after two failures and refuses every call
/// meanwhile, without asking the provider. We are not told how much of the 60 s is left. A call every 15 s costs
/// nothing there, and good calls begin at most 15 s after the hold has ended; `BREAKER_FAILURES` in a row, each
/// charged to a mission, would find out later and at a price.
const PROVIDERS_DOWN_WAIT: Duration = Duration::from_secs(15);

/// Why there is no completion. Holds nothing of the answer's text, because that may repeat the prompt; a `kind` is
/// one word of mana-llm's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum LlmError {
    /// Connecting, headers and body together took longer than a call may.
    #[error("mana-llm did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// There was no connection, or it broke.
    #[error("mana-llm is unreachable: {cause}")]
    Unreachable {
        /// What the connection failed with.
        cause: String,
        /// Was there a connection, which may have carried the call?
        is_sent: bool,
    },
    /// 429.
    #[error("mana-llm limits the rate{}", retry_hint(*.retry_after))]
    RateLimited {
        /// From now, where `Retry-After` says so in seconds or as a date.
        retry_after: Option<Duration>,
    },
    /// 503 `no_healthy_provider`: every provider of the chain failed or is held after failures. Every call is refused.
    #[error("mana-llm has no healthy provider (no_healthy_provider){}: see its log for what its providers answer", retry_hint(*.retry_after))]
    NoHealthyProvider {
        /// As for [`LlmError::RateLimited`].
        retry_after: Option<Duration>,
    },
    /// 3xx, 401, 403, 404, an unknown model, `auth`, `capability`: every call would be refused. A fault of the
    /// configuration.
    #[error("mana-llm rejected the call with {status}{}: {}", kind_hint(.kind.as_deref()), configuration_hint(*.status, .kind.as_deref()))]
    #[strum(serialize = "rejected")]
    Misconfigured {
        /// The status of its answer.
        status: StatusCode,
        /// `detail.kind` or `error.code` of the body, if it is one word.
        kind: Option<String>,
    },
    /// 422 with a list of faults: mana-llm does not know the shape of our request, so every call would be refused.
    #[error(
        "mana-llm cannot read our requests ({0}): its version and this one of mana-ai do not fit together, update one of them"
    )]
    MalformedRequest(StatusCode),
    /// Another 4xx, `blocked` or `truncated`: this call would be refused again, others are taken.
    #[error("mana-llm refused this call with {status}{}{}", kind_hint(.kind.as_deref()), prompt_hint(.kind.as_deref()))]
    #[strum(serialize = "refused")]
    PromptRefused {
        /// The status of its answer.
        status: StatusCode,
        /// `detail.kind` or `error.code` of the body, if it is one word.
        kind: Option<String>,
    },
    /// Another 5xx. An upstream 401, 402 or 429 arrives as a plain 500 too.
    #[error("mana-llm failed with {0}")]
    ServerFault(StatusCode),
    /// A success whose body is no completion.
    #[error("mana-llm answered, but {0}")]
    #[strum(serialize = "unusable")]
    BadResponse(&'static str),
    /// A completion whose model stopped before it had written a text.
    #[error("mana-llm answered, but {0}")]
    #[strum(serialize = "no_text")]
    NoText(FinishReason),
}

/// `choices[0].finish_reason`, where it is not `stop`. The messages end the sentence "mana-llm answered, but …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FinishReason {
    /// `length`
    #[error("the answer was cut at the model's limit (finish_reason length)")]
    Length,
    /// `content_filter`
    #[error("the provider's filter withheld the answer (finish_reason content_filter)")]
    ContentFilter,
    /// `tool_calls`
    #[error("the model called a tool, though none was offered, and wrote no text (finish_reason tool_calls)")]
    ToolCalls,
}

impl FinishReason {
    /// The reason of this name; `None` for `stop` and for names that we do not know.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "length" => Some(Self::Length),
            "content_filter" => Some(Self::ContentFilter),
            "tool_calls" => Some(Self::ToolCalls),
            _ => None,
        }
    }
}

impl LlmError {
    /// Is it sure that no model has worked? Such a call spends nobody's budget.
    pub fn costs_nothing(&self) -> bool {
        match self {
            Self::Unreachable { is_sent, .. } => !is_sent,
            _ => !matches!(self.disposition(), Disposition::Transient | Disposition::MissionFault),
        }
    }

    /// What it means for the next attempt.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Timeout(_) | Self::Unreachable { .. } | Self::ServerFault(_) | Self::BadResponse(_) => {
                Disposition::Transient
            }
            Self::RateLimited { retry_after } => {
                Disposition::RateLimited { retry_after: clamp_retry_after(*retry_after) }
            }
            Self::NoHealthyProvider { retry_after } => Disposition::ProvidersDown {
                retry_after: clamp_retry_after(Some(retry_after.unwrap_or(PROVIDERS_DOWN_WAIT))),
            },
            Self::Misconfigured { .. } | Self::MalformedRequest(_) => Disposition::Misconfigured,
            Self::PromptRefused { .. } | Self::NoText(_) => Disposition::MissionFault,
        }
    }
}

/// The wait that mana-llm asked for, between 5 s and an hour; 30 s where it named none.
pub fn clamp_retry_after(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(USUAL_RETRY_AFTER).clamp(SHORTEST_RETRY_AFTER, LONGEST_RETRY_AFTER)
}

fn retry_hint(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(" and asks to wait {} s", wait.as_secs())).unwrap_or_default()
}

fn kind_hint(kind: Option<&str>) -> String {
    kind.map(|kind| format!(" ({kind})")).unwrap_or_default()
}

/// What an operator can do about a call that every mission's would share.
fn configuration_hint(status: StatusCode, kind: Option<&str>) -> &'static str {
    match (kind, status) {
        (Some("auth"), _) => "the provider refuses mana-llm's own key, mend it there",
        (Some("capability"), _) => "the model cannot do what is asked, name another in MANA_LLM_MODEL",
        (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            "check MANA_LLM_URL, MANA_LLM_MODEL and MANA_SERVICE_KEY, or MANA_LLM_API_KEY where mana-llm has a key set"
        }
        _ => "check MANA_LLM_URL, MANA_LLM_MODEL and MANA_SERVICE_KEY",
    }
}

/// What helps a single mission.
fn prompt_hint(kind: Option<&str>) -> &'static str {
    match kind {
        Some("blocked") => ": its text is not let through, only another text of the mission helps",
        Some("truncated") => {
            ": its prompt is too long for the model, shorten the mission or name another model in MANA_LLM_MODEL"
        }
        _ => "",
    }
}
