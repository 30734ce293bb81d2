//! The body of a successful answer → what the model said, or why it is none. No I/O, so that it can be fuzzed.
//!
//! Nothing builds a tree of the body: it has no say in how much memory it takes.

use serde_json::value::RawValue;

use crate::domain::json::{self, Fault, field};
use crate::domain::run::TokenUsage;

/// What we read of a chat completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `choices[0].message.content`.
    pub content: String,
    /// What it cost.
    pub usage: TokenUsage,
}

/// Reads it, or says what is wrong with it, as the end of "mana-llm answered, but …".
pub fn read(body: &[u8]) -> Result<Answer, &'static str> {
    // UTF-16 of ASCII is UTF-8 too, but then it holds NUL, which no JSON does.
    let text = str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or("its body is not UTF-8")?;
    if text.trim_start().starts_with('<') {
        return Err("its body is HTML or XML: does MANA_LLM_URL lead to mana-llm?");
    }
    json::check(text).map_err(reason)?;
    let choices: Vec<&RawValue> = field(text, "choices").ok_or("its body is no chat completion")?;
    let choice = choices.first().ok_or("it has no choices")?;
    let message: Option<&RawValue> = field(choice.get(), "message");
    let content: Option<&RawValue> = message.and_then(|message| field(message.get(), "content"));
    let content = content.filter(|content| content.get() != "null").ok_or("its message has no content")?;
    let content = plain(content).ok_or("its message's content is no text")?;
    Ok(Answer { content, usage: usage(text) })
}

fn reason(fault: Fault) -> &'static str {
    match fault {
        Fault::Syntax { .. } => "its body is not JSON",
        Fault::TooDeep => "its body is nested too deep",
        Fault::LoneSurrogate => "its body holds half a character (a lone surrogate)",
        Fault::Reserved => "its body holds a key that cannot be read safely",
    }
}

/// A string; or, as some OpenAI-compatible servers send it, a list of parts, of which `text` is the answer
/// and others, such as `thinking`, are not.
fn plain(content: &RawValue) -> Option<String> {
    if let Ok(text) = serde_json::from_str(content.get()) {
        return Some(text);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).ok()?;
    let is_text = |part: &&RawValue| field::<String>(part.get(), "type").is_some_and(|kind| kind == "text");
    let texts: Vec<String> =
        parts.into_iter().filter(is_text).filter_map(|part| field(part.get(), "text")).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

/// A count that cannot be read is no reason to throw away an answer that was paid for.
fn usage(completion: &str) -> TokenUsage {
    let usage: Option<&RawValue> = field(completion, "usage");
    let tokens = |name| usage.and_then(|usage| field(usage.get(), name)).unwrap_or_default();
    TokenUsage { prompt_tokens: tokens("prompt_tokens"), completion_tokens: tokens("completion_tokens") }
}
