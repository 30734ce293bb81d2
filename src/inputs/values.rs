//! JSON values as a person reads them. Nothing here prints JSON.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Map, Value};

/// A text on one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value on one line; empty where there is nothing to tell.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "ja" } else { "nein" }.to_owned(),
        Value::Number(_) => number(value).unwrap_or_default(),
        Value::String(text) => one_line(text),
        Value::Array(elements) => told(elements.iter().map(inline)).join(", "),
        Value::Object(members) => members_of(members).join("; "),
    }
}

/// What an object has to tell, a text per member.
pub(super) fn members_of(members: &Map<String, Value>) -> Vec<String> {
    let member = |(key, value): (&String, &Value)| {
        let value = inline(value);
        if value.is_empty() { value } else { format!("{}: {value}", words(key)) }
    };
    told(members.iter().map(member))
}

fn told(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.filter(|text| !text.is_empty()).collect()
}

/// The words of a key: `dietaryNeeds` and `dietary_needs` are `dietary needs`.
fn words(key: &str) -> String {
    let mut words = String::with_capacity(key.len());
    for c in key.chars() {
        if c.is_uppercase() && words.ends_with(char::is_lowercase) {
            words.push(' ');
            words.extend(c.to_lowercase());
        } else {
            words.push(if c == '_' { ' ' } else { c });
        }
    }
    one_line(&words)
}

/// A number without the zeros that a float brings along.
pub(super) fn number(value: &Value) -> Option<String> {
    value.as_f64().map(|number| number.to_string())
}

/// A time as its user reads it: a moment in `zone`, a day, or a local time that names no zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LocalTime {
    Day(Date),
    Minute(DateTime),
}

impl LocalTime {
    /// `None` where the text is no time.
    pub fn read(text: &str, zone: &TimeZone) -> Option<Self> {
        // A longer text may be a moment, of which the parser of days would take the day alone.
        if text.len() == "2026-04-14".len() {
            return text.parse().ok().map(Self::Day);
        }
        let moment = text.parse::<Timestamp>().ok().map(|moment| moment.to_zoned(zone.clone()));
        moment.as_ref().map(Zoned::datetime).or_else(|| text.parse().ok()).map(Self::Minute)
    }

    /// Such as `Di 2026-04-14 10:00`.
    pub fn german(&self) -> String {
        match self {
            Self::Day(day) => format!("{} {day}", weekday(day.weekday())),
            Self::Minute(at) => format!("{} {}", weekday(at.weekday()), at.strftime("%Y-%m-%d %H:%M")),
        }
    }

    /// From here until `end`, which names its day only where that is another one.
    pub fn german_until(&self, end: Option<&Self>) -> String {
        match (self, end) {
            (_, None) => self.german(),
            (Self::Day(from), Some(Self::Day(until))) if from == until => self.german(),
            (Self::Minute(from), Some(Self::Minute(until))) if from.date() == until.date() => {
                format!("{} bis {}", self.german(), until.strftime("%H:%M"))
            }
            (_, Some(end)) => format!("{} bis {}", self.german(), end.german()),
        }
    }
}

fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Mo",
        Weekday::Tuesday => "Di",
        Weekday::Wednesday => "Mi",
        Weekday::Thursday => "Do",
        Weekday::Friday => "Fr",
        Weekday::Saturday => "Sa",
        Weekday::Sunday => "So",
    }
}
