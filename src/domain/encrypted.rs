//! Texts that a device has encrypted: only the user's devices hold the key.

use serde_json::Value;

/// How the text of an encrypted field begins.
const PREFIX: &str = "enc:1:";

/// Is this text encrypted?
pub fn is_encrypted(text: &str) -> bool {
    text.trim_start().starts_with(PREFIX)
}

/// Is any text in this value encrypted, also as a key, and however deep?
pub fn holds_encrypted(value: &Value) -> bool {
    match value {
        Value::String(text) => is_encrypted(text),
        Value::Array(elements) => elements.iter().any(holds_encrypted),
        Value::Object(members) => {
            members.iter().any(|(key, member)| is_encrypted(key) || holds_encrypted(member))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
