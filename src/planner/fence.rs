//! Texts of a user in the prompt: between fences that nothing in them can look like, and never encrypted ones.

use serde_json::Value;

use crate::domain::encrypted::{holds_encrypted, is_encrypted};

/// A single text of the user longer than this is cut: nobody's 5 MB note should cost a model call
/// that no model accepts. Counted in characters.
pub(super) const LONGEST_TEXT: usize = 20_000;
/// The same for a step or a summary.
const LONGEST_LINE: usize = 1_000;
/// Stands for a text that only the user's devices can read.
const ENCRYPTED: &str = "[verschlüsselt]";

/// Fences a text of the user. Nothing inside can look like the fence itself.
pub(super) fn data(label: &str, text: &str) -> String {
    let text = if is_encrypted(text) { ENCRYPTED } else { text };
    format!("<daten: {}>\n{}\n</daten>\n\n", harmless(&line(label)), harmless(&cut(text, LONGEST_TEXT)))
}

/// A text on one short line, so that it cannot pass for another line.
pub(super) fn line(text: &str) -> String {
    if is_encrypted(text) {
        return ENCRYPTED.to_owned();
    }
    let words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&words, LONGEST_LINE)
}

/// The same of any value.
pub(super) fn value_line(value: &Value) -> String {
    match value {
        Value::String(text) => line(text),
        value if holds_encrypted(value) => ENCRYPTED.to_owned(),
        value => line(&value.to_string()),
    }
}

pub(super) fn cut(text: &str, characters: usize) -> String {
    let mut cut: String = text.chars().take(characters).collect();
    if cut.len() < text.len() {
        cut += " [hier gekürzt]";
    }
    cut
}

fn harmless(text: &str) -> String {
    text.replace('<', "‹").replace('>', "›")
}
