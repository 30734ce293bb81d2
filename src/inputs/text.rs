//! The kinds of lines that a record's fields become.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::values::{LocalTime, inline, members_of, number, one_line};
use crate::domain::fold::Record;
use crate::domain::json;

/// How a field becomes text. What is absent, empty or of another type than expected has no line.
#[derive(Debug)]
pub enum Line {
    /// `Titel: …`.
    Title(&'static str),
    /// A text as it is, with its lines.
    Body(&'static str),
    /// `Label: …` on one line, whatever the value is.
    Inline(&'static str, &'static str),
    /// The same of a value that has a German word; of another value as it is.
    Word(&'static str, &'static str, &'static [(&'static str, &'static str)]),
    /// `Stand: erledigt` or `Stand: offen`.
    Done(&'static str),
    /// `Label: ` and a time of the user's clock.
    Moment(&'static str, &'static str),
    /// `Label:` and a list of steps that are done or not.
    Checklist(&'static str, &'static str),
    /// `Fortschritt 3 von 8 pro Tag`.
    Progress {
        /// How far.
        current: &'static str,
        /// An object: `value`, `period`, `comparison`.
        target: &'static str,
    },
    /// `Zeit: …` of the time block that this field names.
    TimeBlock(&'static str),
    /// `Label:` and a line per member of an object.
    Section(&'static str, &'static str),
}

/// A record that becomes text, and what that depends on.
pub(super) struct Source<'record> {
    pub record: &'record Record,
    /// Its time block, where that is there.
    pub time_block: Option<&'record Record>,
    /// Where its user reads a clock.
    pub zone: &'record TimeZone,
}

impl Line {
    /// The fields that it is made from.
    pub fn fields(&self) -> Vec<&'static str> {
        match self {
            Self::Progress { current, target } => vec![current, target],
            Self::Title(field)
            | Self::Body(field)
            | Self::Inline(_, field)
            | Self::Word(_, field, _)
            | Self::Done(field)
            | Self::Moment(_, field)
            | Self::Checklist(_, field)
            | Self::TimeBlock(field)
            | Self::Section(_, field) => vec![field],
        }
    }
}

/// The text of a record, a line per entry of its module; empty where it has nothing to tell.
pub(super) fn text(lines: &[Line], source: &Source<'_>) -> String {
    lines.iter().filter_map(|line| source.line(line)).collect::<Vec<_>>().join("\n")
}

impl Source<'_> {
    fn line(&self, line: &Line) -> Option<String> {
        let labelled = |label: &str, text: String| (!text.is_empty()).then(|| format!("{label}: {text}"));
        match line {
            Line::Title(field) => labelled("Titel", self.inline(field)?),
            Line::Body(field) => {
                self.text(field).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
            }
            Line::Inline(label, field) => labelled(label, self.inline(field)?),
            Line::Word(label, field, words) => {
                let told = self.inline(field)?;
                let word = words.iter().find(|(word, _)| *word == told);
                labelled(label, word.map_or(told.clone(), |(_, german)| (*german).to_owned()))
            }
            Line::Done(field) => {
                Some(format!("Stand: {}", if is_true(&self.value(field)) { "erledigt" } else { "offen" }))
            }
            Line::Moment(label, field) => labelled(label, self.moment(&self.text(field)?)),
            Line::Checklist(label, field) => checklist(label, &self.value(field)),
            Line::Progress { current, target } => self.progress(current, target),
            Line::TimeBlock(_) => Some(self.times().unwrap_or_else(|| "Zeit: unbekannt".to_owned())),
            Line::Section(label, field) => section(label, &self.value(field)),
        }
    }

    fn value(&self, field: &str) -> Value {
        value(self.record, field)
    }

    fn inline(&self, field: &str) -> Option<String> {
        Some(inline(&self.value(field))).filter(|text| !text.is_empty())
    }

    fn text(&self, field: &str) -> Option<String> {
        if let Value::String(text) = self.value(field) { Some(text) } else { None }
    }

    fn moment(&self, text: &str) -> String {
        LocalTime::read(text, self.zone).map_or_else(|| one_line(text), |time| time.german())
    }

    fn times(&self) -> Option<String> {
        let time = |field| LocalTime::read(value(self.time_block?, field).as_str()?, self.zone);
        Some(format!("Zeit: {}", time("startDate")?.german_until(time("endDate").as_ref())))
    }

    fn progress(&self, current: &str, target: &str) -> Option<String> {
        let target = self.value(target);
        let aim = number(target.get("value")?)?;
        let current = number(&self.value(current)).unwrap_or_else(|| "0".to_owned());
        let how = match target.get("comparison").and_then(Value::as_str) {
            Some("lte" | "lt" | "<=" | "<" | "max") => "höchstens ",
            _ => "",
        };
        let period = match target.get("period").and_then(Value::as_str) {
            Some("day") => " pro Tag",
            Some("week") => " pro Woche",
            Some("month") => " pro Monat",
            _ => "",
        };
        Some(format!("Fortschritt {current} von {how}{aim}{period}"))
    }
}

/// What cannot be read as a tree is as if it were not there.
fn value(record: &Record, field: &str) -> Value {
    let raw = record.fields.get(field);
    raw.and_then(|raw| json::read(raw.get()).ok()).unwrap_or_default()
}

fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value.as_f64().is_some_and(|number| number != 0.0)
}

/// Its elements are objects with a `title`, and `isCompleted` where they are done; or texts.
fn checklist(label: &str, list: &Value) -> Option<String> {
    let mut text = format!("{label}:");
    for element in list.as_array()? {
        let title = inline(element.get("title").unwrap_or(element));
        let done = ["isCompleted", "completed"].iter().any(|field| element.get(field).is_some_and(is_true));
        if !title.is_empty() {
            let _ = write!(text, "\n- [{}] {title}", if done { "erledigt" } else { "offen" });
        }
    }
    text.contains('\n').then_some(text)
}

/// A line per member of an object; of anything else one line.
fn section(label: &str, value: &Value) -> Option<String> {
    let Value::Object(members) = value else {
        let text = inline(value);
        return (!text.is_empty()).then(|| format!("{label}: {text}"));
    };
    let members = members_of(members);
    (!members.is_empty()).then(|| format!("{label}:\n- {}", members.join("\n- ")))
}
