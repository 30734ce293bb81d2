//! What an edit of a record looks like in the log, as a device of April 2026 sends it: the leaves that changed, and every
//! list. Dexie compares lists by identity, so a list counts as changed each time.

use serde_json::{Map, Value};

/// The names and values that a device sends when `before` becomes `after`.
///
/// An object that was an object before goes in parts under dotted names, and a leaf that went away is null. An object in
/// the place of anything else, or anything else in the place of an object, goes whole.
pub fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut changes = Map::new();
    collect("", before, after, &mut changes);
    changes
}

fn collect(
    prefix: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Map<String, Value>,
) {
    for (key, value) in after {
        let name = format!("{prefix}{key}");
        match (before.get(key), value) {
            (Some(Value::Object(before)), Value::Object(after)) => {
                collect(&format!("{name}."), before, after, changes);
            }
            (Some(same), _) if same == value && !value.is_array() => {}
            _ => drop(changes.insert(name, value.clone())),
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changes.insert(format!("{prefix}{key}"), Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_edit_travels_in_parts_and_lists_always_do() {
        let table = [
            (
                json!({ "c": { "kind": "daily", "at": 9 } }),
                json!({ "c": { "kind": "manual" } }),
                json!({ "c.kind": "manual", "c.at": null }),
            ),
            (
                json!({ "c": null }),
                json!({ "c": { "kind": "manual" } }),
                json!({ "c": { "kind": "manual" } }),
            ),
            (json!({}), json!({ "c": {} }), json!({ "c": {} })),
            (json!({ "c": { "kind": "manual" } }), json!({ "c": null }), json!({ "c": null })),
            (json!({ "t": "a", "l": [] }), json!({ "t": "b", "l": [] }), json!({ "t": "b", "l": [] })),
            (
                json!({ "g": { "d": { "l": [1], "n": 1 } } }),
                json!({ "g": { "d": { "l": [1], "n": 1 } } }),
                json!({ "g.d.l": [1] }),
            ),
            (json!({ "t": "a", "o": { "n": 1 } }), json!({ "t": "a", "o": { "n": 1 } }), json!({})),
        ];
        for (before, after, expected) in table {
            let object = |value: &Value| value.as_object().expect("an object").clone();
            let sent = changes(&object(&before), &object(&after));
            assert_eq!(Value::Object(sent), expected, "{before} → {after}");
        }
    }
}
