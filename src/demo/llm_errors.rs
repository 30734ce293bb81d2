//! The errors and the odd answers of the real mana-llm, byte for byte, for the stand-in to give.

use serde_json::json;

use super::llm::Behaviour;

/// An error of mana-llm's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManaLlmError {
    /// 422: this text is not let through.
    Blocked,
    /// 502: this prompt is too long for the model.
    Truncated,
    /// 502: the provider refuses mana-llm's key.
    Auth,
    /// 400: the model cannot do what is asked.
    Capability,
    /// 429.
    RateLimit,
    /// 503: every provider of the chain failed or is held.
    NoHealthyProvider,
    /// 422: the request has another shape than mana-llm knows.
    Malformed,
    /// 401: a key is set there, and ours is another or came as `Authorization`.
    WrongKey,
    /// 500: an upstream 401, 402 or 429, with most providers.
    Upstream,
}

impl ManaLlmError {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::Truncated,
        Self::Auth,
        Self::Capability,
        Self::RateLimit,
        Self::NoHealthyProvider,
        Self::Malformed,
        Self::WrongKey,
        Self::Upstream,
    ];

    /// The status of its answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Blocked | Self::Malformed => 422,
            Self::Truncated | Self::Auth => 502,
            Self::Capability => 400,
            Self::RateLimit => 429,
            Self::NoHealthyProvider => 503,
            Self::WrongKey => 401,
            Self::Upstream => 500,
        }
    }

    /// The body of its answer, in the order and without the blanks in which mana-llm writes it.
    fn body(self, message: &str) -> String {
        let message = json!(message);
        let of_kind = |kind: &str| format!(r#"{{"detail":{{"kind":"{kind}","message":{message}}}}}"#);
        match self {
            Self::Blocked => of_kind("blocked"),
            Self::Truncated => of_kind("truncated"),
            Self::Auth => of_kind("auth"),
            Self::Capability => of_kind("capability"),
            Self::RateLimit => of_kind("rate_limit"),
            Self::NoHealthyProvider => of_kind("no_healthy_provider"),
            Self::Malformed => format!(
                r#"{{"detail":[{{"type":"list_type","loc":["body","messages"],"msg":"Input should be a valid list","input":{message}}}]}}"#
            ),
            Self::WrongKey | Self::Upstream => format!(r#"{{"detail":{message}}}"#),
        }
    }
}

impl Behaviour {
    /// This error, in which mana-llm says `message`: what it says may repeat the prompt.
    pub fn manallm_error(error: ManaLlmError, message: &str) -> Self {
        Self::json(error.status(), error.body(message))
    }

    /// A completion whose model stopped for this reason, after this content; `None` stands for null.
    pub fn stopped(finish_reason: &str, content: Option<&str>) -> Self {
        let message = json!({ "role": "assistant", "content": content });
        let choice = json!({ "index": 0, "finish_reason": finish_reason, "message": message });
        Self::json(
            200,
            json!({ "id": "stand-in", "object": "chat.completion", "choices": [choice] }).to_string(),
        )
    }

    /// This status with this body.
    fn json(status: u16, body: String) -> Self {
        Self::Raw(status, vec![("content-type", "application/json".to_owned())], body.into_bytes())
    }
}
