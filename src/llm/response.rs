//! The body of a successful answer → what the model said, or why there is no text in it. No I/O, so that it can be
//! fuzzed.
//!
//! Fields are looked up in the text. A tree of the body would take up to seventy times its size in memory.

use serde_json::value::RawValue;

use super::error::{FinishReason, LlmError};
use crate::domain::json::{self, Fault, field};
use crate::domain::run::CallTokens;

/// What we read of the body of a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the call cost. An answer without a usable text is paid for as well.
    pub tokens: CallTokens,
    /// What the model said.
    ///
    /// [`LlmError::BadResponse`] where the body is no completion, [`LlmError::NoText`] where its model stopped early and
    /// left no text. A filter may leave the first half of one; that is no answer either.
    pub answer: Result<Answer, LlmError>,
}

/// What we read of a chat completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `choices[0].message.content`.
    pub content: String,
    /// `choices[0].finish_reason`, where it is one that leaves half a text.
    pub stopped: Option<FinishReason>,
}

/// Reads a completion. A body that is no JSON told no tokens.
pub fn read(body: &[u8]) -> Reading {
    match json_text(body) {
        Ok(text) => Reading { tokens: tokens(text), answer: answer(text) },
        Err(fault) => Reading { tokens: CallTokens::default(), answer: Err(LlmError::BadResponse(fault)) },
    }
}

fn answer(text: &str) -> Result<Answer, LlmError> {
    let bad = LlmError::BadResponse;
    let choices: Vec<&RawValue> = field(text, "choices").ok_or(bad("its body is no chat completion"))?;
    let choice = choices.first().ok_or(bad("its list of choices is empty"))?.get();
    let stopped = field::<String>(choice, "finish_reason").and_then(|reason| FinishReason::named(&reason));
    if stopped == Some(FinishReason::ContentFilter) {
        return Err(LlmError::NoText(FinishReason::ContentFilter));
    }
    match (content(choice), stopped) {
        (Ok(content), Some(FinishReason::Length)) if content.is_empty() => {
            Err(LlmError::NoText(FinishReason::Length))
        }
        (Ok(content), _) => Ok(Answer { content, stopped }),
        (Err(_), Some(stopped)) => Err(LlmError::NoText(stopped)),
        (Err(fault), None) => Err(bad(fault)),
    }
}

/// The body as JSON that can be read, or what is wrong with it.
fn json_text(body: &[u8]) -> Result<&str, &'static str> {
    // UTF-16 of ASCII is UTF-8 too, but then it holds NUL, which no JSON does.
    let text = str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or("its body is not UTF-8")?;
    if text.trim_start().starts_with('<') {
        return Err("its body is HTML or XML: does MANA_LLM_URL lead to mana-llm?");
    }
    json::check(text).map_err(reason)?;
    Ok(text)
}

/// The text of a choice, or what is wrong with it.
fn content(choice: &str) -> Result<String, &'static str> {
    let message: Option<&RawValue> = field(choice, "message");
    let content: Option<&RawValue> = message.and_then(|message| field(message.get(), "content"));
    let content = content.ok_or("its message has no content")?;
    if content.get() == "null" {
        return Err("its message's content is null");
    }
    plain(content).ok_or("its message's content is no text")
}

fn reason(fault: Fault) -> &'static str {
    match fault {
        Fault::Syntax { .. } => "its body is not JSON",
        Fault::TooDeep => "its body is nested too deep",
        Fault::LoneSurrogate => "its body holds half a character (a lone surrogate)",
        Fault::Reserved => "its body holds a key that cannot be read safely",
    }
}

/// The text of a content. It is a string, or, from some OpenAI-compatible servers, a list of parts: those of type
/// `text` are the answer, others, such as `thinking`, are not.
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

/// A count that cannot be read is 0: it is no reason to throw away an answer that was paid for. Nor can one be that no
/// model reaches, and that would carry the sum of all calls past the end of its 64 bits.
fn tokens(completion: &str) -> CallTokens {
    let usage: Option<&RawValue> = field(completion, "usage");
    let count = |name| {
        let count: Option<u32> = usage.and_then(|usage| field(usage.get(), name));
        count.map_or(0, u64::from)
    };
    CallTokens { prompt: count("prompt_tokens"), completion: count("completion_tokens") }
}
