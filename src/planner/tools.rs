//! The allow-list: the tools that a plan may propose, with their parameters, as data.

use std::fmt;
use std::sync::LazyLock;

use jiff::civil;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::times::{EventTime, SHAPE};

/// Every tool that a plan may propose. The device runs it, and only after its user approved.
pub static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("tools.json")).expect("tools.json is checked by the tests")
});

/// A tool of one of the suite's apps.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS))]
pub struct Tool {
    /// What a step calls it, exactly.
    pub name: String,
    /// The app that it belongs to.
    pub module: String,
    /// One German sentence for the model.
    #[cfg_attr(feature = "demo", ts(skip))]
    pub description: String,
    /// What it takes. Unknown extras are allowed, as on the device.
    pub parameters: Vec<Parameter>,
}

/// One parameter of a tool.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS), ts(rename = "ToolParameter", optional_fields))]
pub struct Parameter {
    /// Key in `params`.
    pub name: String,
    /// JSON type of its value.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// May it be left out?
    pub required: bool,
    /// A few German words for the model.
    #[cfg_attr(feature = "demo", ts(skip))]
    pub description: String,
    /// The only values it takes, where it is an enumeration.
    #[serde(rename = "enum")]
    pub allowed: Option<Vec<String>>,
    /// The shape of a string.
    pub format: Option<Format>,
}

/// JSON types that parameters have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS), ts(rename = "ToolParameterType"))]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "they say it themselves")]
pub enum Kind {
    String,
    Number,
    Boolean,
}

/// Shapes of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "demo", derive(ts_rs::TS), ts(rename = "ToolParameterFormat"))]
pub enum Format {
    /// A day.
    #[serde(rename = "YYYY-MM-DD")]
    Date,
    /// A time that a calendar can show, see [`EventTime`].
    #[serde(rename = "ISO 8601")]
    DateTime,
}

/// Why `params` do not fit a tool. Names the parameter, quotes no value: params may hold user text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// A required one is not there, or null.
    #[error("required parameter {0} is missing")]
    Missing(String),
    /// Another JSON type.
    #[error("parameter {name} must be a {expected}")]
    WrongType {
        /// Name of the parameter.
        name: String,
        /// The type that it must have.
        expected: Kind,
    },
    /// Not a member of the enumeration.
    #[error("parameter {name} must be one of {allowed}")]
    NotAllowed {
        /// Name of the parameter.
        name: String,
        /// All members, separated by commas.
        allowed: String,
    },
    /// A string of another shape.
    #[error("parameter {name} must have the format {expected}")]
    WrongFormat {
        /// Name of the parameter.
        name: String,
        /// The shape that it must have.
        expected: Format,
    },
    /// An event that ends before it starts.
    #[error("parameter endTime must not lie before startTime")]
    EndBeforeStart,
}

/// Finds a tool by its exact name.
pub fn find<'tools>(tools: &'tools [Tool], name: &str) -> Option<&'tools Tool> {
    tools.iter().find(|tool| tool.name == name)
}

impl Tool {
    /// Checks `params` against this tool.
    ///
    /// # Errors
    /// The first fault in the order of the tool's parameters; then an end before its start.
    pub fn check(&self, params: &Map<String, Value>) -> Result<(), ParamError> {
        self.parameters.iter().try_for_each(|parameter| parameter.check(params.get(&parameter.name)))?;
        let time = |name| {
            self.parameters.iter().find(|parameter| parameter.name == name)?;
            EventTime::parse(params.get(name)?.as_str()?)
        };
        match (time("startTime"), time("endTime")) {
            (Some(start), Some(end)) if end.is_before(start) => Err(ParamError::EndBeforeStart),
            _ => Ok(()),
        }
    }
}

impl Parameter {
    fn check(&self, value: Option<&Value>) -> Result<(), ParamError> {
        let name = || self.name.clone();
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return if self.required { Err(ParamError::Missing(name())) } else { Ok(()) };
        };
        let fits = match self.kind {
            Kind::String => value.is_string(),
            Kind::Number => value.is_number(),
            Kind::Boolean => value.is_boolean(),
        };
        if !fits {
            return Err(ParamError::WrongType { name: name(), expected: self.kind });
        }
        let text = value.as_str().unwrap_or_default();
        if self.required && self.kind == Kind::String && text.trim().is_empty() {
            return Err(ParamError::Missing(name()));
        }
        match (&self.allowed, self.format) {
            (Some(allowed), _) if !allowed.iter().any(|member| member == text) => {
                Err(ParamError::NotAllowed { name: name(), allowed: allowed.join(", ") })
            }
            (_, Some(format)) if !format.fits(text) => {
                Err(ParamError::WrongFormat { name: name(), expected: format })
            }
            _ => Ok(()),
        }
    }
}

impl Format {
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Date => text.len() == 10 && text.parse::<civil::Date>().is_ok(),
            Self::DateTime => EventTime::parse(text).is_some(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Date => "YYYY-MM-DD",
            Self::DateTime => SHAPE,
        })
    }
}
