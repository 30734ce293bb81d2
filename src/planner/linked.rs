//! Linked records in the prompt: a fence for each that is shown, a sentence for each that is not.

use std::fmt::Write as _;

use super::fence::data;
use crate::inputs::linked::{Linked, LinkedRecord, State};

/// An id longer than this, in bytes, is none that a tool takes, and not told.
const LONGEST_ID: usize = 64;

/// All linked records of a mission. A sentence outside a fence holds no word of the user.
pub(super) fn told(linked: &Linked) -> String {
    let mut text: String = linked.records.iter().map(record).collect();
    if linked.more > 0 {
        let _ = writeln!(
            text,
            "Und {} weitere verknüpfte Datensätze, die du nicht zu sehen bekommst.\n",
            linked.more
        );
    }
    text
}

fn record(record: &LinkedRecord) -> String {
    let german = record.link.module().map_or("Datensatz", |module| module.german);
    let why = match record.state {
        State::Shown | State::Cut => return shown(german, record),
        State::Missing => "wurde nicht gefunden",
        State::Deleted => "ist gelöscht",
        State::Encrypted => "ist verschlüsselt",
        State::Unknown => "gehört zu einem Modul, das du nicht lesen kannst",
        State::TooLarge => "ist zu groß, um gelesen zu werden",
        State::Unreadable => "liegt in einem neueren Format vor, das du nicht lesen kannst",
    };
    format!("Verknüpft {}, {german}: {why}.\n\n", record.link.position)
}

/// With its id, which some tools take.
fn shown(german: &str, record: &LinkedRecord) -> String {
    let (position, id) = (record.link.position, &record.link.id);
    // It stands in the fence's own line, so it must not be a sentence.
    let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let id = if is_word && id.len() <= LONGEST_ID { format!(", ID {id}") } else { String::new() };
    let text = if record.text.is_empty() { "[leer]" } else { &record.text };
    data(&format!("verknüpft {position}, {german}{id}"), text)
}
