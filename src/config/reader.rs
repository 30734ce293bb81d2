//! Reads variables one by one, and collects what is wrong with them instead of stopping at the first fault.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;

/// The longest duration that a variable takes, in milliseconds.
pub(super) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Where values come from, and the faults found so far.
pub(super) struct Reader<G> {
    get: G,
    faults: Vec<String>,
}

impl<G: FnMut(&str) -> Option<String>> Reader<G> {
    pub(super) fn new(get: G) -> Self {
        Self { get, faults: Vec::new() }
    }

    /// Every fault, one line each. Empty where each variable can be used.
    pub(super) fn into_faults(self) -> Vec<String> {
        self.faults
    }

    /// Adds a fault that no single variable has, such as two that contradict each other.
    pub(super) fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// The value of a variable; `None` where it is missing or empty. A shell, compose and systemd take the quotes around a
    /// value in an env file off, `docker run --env-file` leaves them: one file must do for all.
    pub(super) fn set(&mut self, name: &str) -> Option<String> {
        (self.get)(name).map(unquoted).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn text(&mut self, name: &str, default: &str) -> String {
        self.set(name).unwrap_or_else(|| default.to_owned())
    }

    /// A secret that must be set. Its value is never part of a fault.
    pub(super) fn secret(&mut self, name: &str, takes: &str, fits: impl Fn(&str) -> bool) -> SecretString {
        self.secret_from(&[name], takes, fits).1
    }

    /// The first of several variables that is set, and its value. Its value is never part of a fault.
    pub(super) fn secret_from<'name>(
        &mut self,
        names: &[&'name str],
        takes: &str,
        fits: impl Fn(&str) -> bool,
    ) -> (&'name str, SecretString) {
        let found = names.iter().find_map(|&name| Some((name, self.set(name)?)));
        let Some((name, value)) = found else {
            let first = names[0];
            let others = names[1..].iter().map(|other| format!(", or in its place {other},"));
            let names = first.to_owned() + &others.collect::<String>();
            self.faults.push(format!("{names} is not set and has no default: it takes {takes}"));
            return (first, "".into());
        };
        if !fits(value.trim()) {
            self.faults.push(format!("{name} is set, but not taken: it takes {takes}"));
        }
        (name, value.trim().into())
    }

    /// An optional value that may hold a secret, and is therefore never part of a fault.
    pub(super) fn hidden<T>(
        &mut self,
        name: &str,
        takes: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.set(name)?;
        let parsed = parse(value.trim());
        if parsed.is_none() {
            self.faults.push(format!("{name} is set, but not taken: it takes {takes}"));
        }
        parsed
    }

    /// An optional value that is no secret: the fault shows it. `takes` says which values can be used.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        default: T,
        takes: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(value) = self.set(name) else { return default };
        parse(value.trim()).unwrap_or_else(|| {
            self.refuse(name, &value, takes);
            default
        })
    }

    /// Only checks a value that a library reads for itself. The library sees surrounding spaces and quotes too, so they
    /// are not cut off here.
    pub(super) fn check(&mut self, name: &str, takes: &str, fits: impl Fn(&str) -> bool) {
        let set = (self.get)(name).filter(|value| !value.trim().is_empty());
        if let Some(value) = set.filter(|value| !fits(value)) {
            self.refuse(name, &value, takes);
        }
    }

    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        default: T,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> T {
        let takes = format!("a whole number from {} to {}, {unit}", range.start(), range.end());
        self.parsed(name, default, &takes, |value| value.parse().ok().filter(|number| range.contains(number)))
    }

    /// A number that bounds nothing where it is not set.
    pub(super) fn bound<T: FromStr + PartialOrd + Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> Option<T> {
        let takes = format!("a whole number from {} to {}, {unit}", range.start(), range.end());
        self.parsed(name, None, &takes, |value| {
            value.parse().ok().filter(|number| range.contains(number)).map(Some)
        })
    }

    pub(super) fn ms(&mut self, name: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, default, range, "milliseconds"))
    }

    pub(super) fn flag(&mut self, name: &str, default: bool) -> bool {
        self.parsed(name, default, "true or false", |value| value.parse().ok())
    }

    pub(super) fn zone(&mut self, name: &str, default: &str) -> TimeZone {
        let value = self.text(name, default);
        TimeZone::get(value.trim()).unwrap_or_else(|_| {
            self.refuse(name, &value, "a name of the IANA time zone database, such as Europe/Berlin");
            TimeZone::UTC
        })
    }

    pub(super) fn url(&mut self, name: &str, default: &str) -> String {
        let takes = "an http or https URL, such as http://mana-llm:3025";
        self.parsed(name, default.to_owned(), takes, |value| {
            let url = reqwest::Url::parse(value).ok()?;
            (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| value.to_owned())
        })
    }

    /// Shows the value, unless it may be a URL with a password in it.
    fn refuse(&mut self, name: &str, value: &str, takes: &str) {
        let told = if value.contains('@') { " is set, but" } else { &format!("={value} is") };
        self.faults.push(format!("{name}{told} not taken: it takes {takes}"));
    }
}

/// The value without a pair of quotes around it.
fn unquoted(value: String) -> String {
    let bare = value.trim();
    let within = |quote| bare.strip_prefix(quote)?.strip_suffix(quote);
    within('\'').or_else(|| within('"')).map_or_else(|| value.clone(), str::to_owned)
}
