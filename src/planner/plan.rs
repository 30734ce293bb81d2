//! Model text → [`Plan`], or why not: first the shape and the allow-list (`tests/vectors/parser.json`),
//! then the number of steps and each step's parameters.

use jiff::Timestamp;
use serde_json::{Deserializer, Map, Value, value::RawValue};

use super::tools::{self, ParamError, Tool};
use crate::domain::iteration::{Intent, Iteration, PlanStep};
use crate::domain::json::{self, Fault};
use crate::domain::time::iso;

/// More steps than this are not a plan that a person would read.
pub const MAX_STEPS: usize = 5;

/// The longest text that is parsed, in bytes. A tree of it takes up to seventy times the memory.
const LONGEST: usize = 256 * 1024;

/// The longest summary of a plan or a step, in characters: a line or two.
const LONGEST_SUMMARY: usize = 500;

/// The longest rationale of a step, in characters: a paragraph.
const LONGEST_RATIONALE: usize = 2_000;

/// The longest parameters of a step as JSON, in bytes. A note of several pages fits.
const LONGEST_PARAMS: usize = 16 * 1024;

/// The deepest nesting of a plan.
const MAX_DEPTH: usize = 32;

/// A plan that a user may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it is about; may be empty.
    pub summary: String,
    /// In the order of execution.
    pub steps: Vec<Step>,
}

/// One tool call of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Line for the user; may be empty.
    pub summary: String,
    /// A tool of the allow-list.
    pub tool_name: String,
    /// Its parameters.
    pub params: Map<String, Value>,
    /// Why; never empty.
    pub rationale: String,
}

/// Why an answer is no plan. Steps count from 1. Quotes nothing of the answer: it may repeat the
/// user's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More text than any plan has.
    #[error("the answer is over 256 KiB")]
    TooLong,
    /// Neither a fenced block nor bare JSON.
    #[error("the answer is not JSON, fenced or bare (fault in line {line}, column {column})")]
    NotJson {
        /// Where in the JSON, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
    },
    /// The model reached its limit of tokens before the plan's end, so the JSON has no end either.
    #[error("the answer was cut at the model's limit")]
    CutAtLimit,
    /// The fence is never closed, or holds more than the JSON.
    #[error("the fenced block does not end right after the JSON")]
    OpenFence,
    /// JSON of another shape.
    #[error("the answer is JSON, but not an object with an array `steps`")]
    NotAPlan,
    /// NUL cannot be stored in Postgres' `jsonb`.
    #[error("the plan holds a NUL character")]
    Nul,
    /// Half a surrogate pair is no character, neither for us nor for Postgres.
    #[error("the plan holds half a character (a lone surrogate)")]
    LoneSurrogate,
    /// See [`Fault::Reserved`].
    #[error("the plan holds a key that cannot be read safely")]
    ReservedKey,
    /// Devices and we ourselves could not read it again inside an iteration.
    #[error("the plan is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_STEPS`].
    #[error("the plan has {0} steps, at most {MAX_STEPS} are allowed")]
    TooManySteps(usize),
    /// A fault in one step.
    #[error("step {number}: {fault}")]
    Step {
        /// Number of the step, from 1.
        number: usize,
        /// What is wrong with it.
        fault: StepFault,
    },
}

/// What is wrong with a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StepFault {
    #[error("it is not an object")]
    NotAnObject,
    #[error("toolName is missing or not a string")]
    NoTool,
    #[error("its tool is not on the allow-list")]
    UnknownTool,
    #[error("rationale is missing, empty or not a string")]
    NoRationale,
    #[error("params is not an object")]
    ParamsNotAnObject,
    #[error("params has {0} bytes, at most {LONGEST_PARAMS} are allowed")]
    ParamsTooLong(usize),
    #[error("{tool}: {error}")]
    Param { tool: String, error: ParamError },
}

impl Plan {
    /// Reads a plan that a user may be shown: [`Self::parse`], then the number of steps and their parameters. Each row of
    /// the mission repeats its texts from now on, so what is too long for a person to read is cut; parameters are not, for
    /// a tool would run with half of them.
    ///
    /// # Errors
    /// The first fault, worded so that the model can mend it.
    pub fn read(text: &str, tools: &[Tool]) -> Result<Self, PlanError> {
        let mut plan = Self::parse(text, tools)?;
        if plan.steps.len() > MAX_STEPS {
            return Err(PlanError::TooManySteps(plan.steps.len()));
        }
        for (index, step) in plan.steps.iter().enumerate() {
            step.check(tools).map_err(|fault| PlanError::Step { number: index + 1, fault })?;
        }
        cut(&mut plan.summary, LONGEST_SUMMARY);
        for step in &mut plan.steps {
            cut(&mut step.summary, LONGEST_SUMMARY);
            cut(&mut step.rationale, LONGEST_RATIONALE);
        }
        Ok(plan)
    }

    /// Reads the shape of a plan, and checks that every tool is on the list.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str, tools: &[Tool]) -> Result<Self, PlanError> {
        let value = json_of(text)?;
        check_storable(&value, 0)?;
        let steps = value.get("steps").and_then(Value::as_array).ok_or(PlanError::NotAPlan)?;
        let step = |(index, step)| {
            Step::parse(step, tools).map_err(|fault| PlanError::Step { number: index + 1, fault })
        };
        Ok(Self {
            summary: text_or_empty(&value, "summary"),
            steps: steps.iter().enumerate().map(step).collect::<Result<_, _>>()?,
        })
    }

    /// The iteration that carries this plan: steps `<iteration id>-<i>`, i from 0; nothing to review
    /// where there are none.
    pub fn into_iteration(self, id: String, started: Timestamp, finished: Timestamp) -> Iteration {
        let overall_status = if self.steps.is_empty() { "approved" } else { "awaiting-review" };
        let step = |(index, step): (usize, Step)| PlanStep {
            id: format!("{id}-{index}"),
            summary: step.summary,
            status: "planned",
            rationale: step.rationale,
            intent: Intent::ToolCall { tool_name: step.tool_name, params: step.params },
        };
        let plan = self.steps.into_iter().enumerate().map(step).collect();
        Iteration {
            started_at: iso(started),
            finished_at: iso(finished),
            source: "server",
            overall_status,
            summary: self.summary,
            plan,
            id,
        }
    }
}

impl Step {
    fn parse(value: &Value, tools: &[Tool]) -> Result<Self, StepFault> {
        let step = value.as_object().ok_or(StepFault::NotAnObject)?;
        let tool_name = step.get("toolName").and_then(Value::as_str).ok_or(StepFault::NoTool)?;
        tools::find(tools, tool_name).ok_or(StepFault::UnknownTool)?;
        let rationale = step.get("rationale").and_then(Value::as_str).filter(|text| !text.is_empty());
        let params = match step.get("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => without_prototypes(params),
            Some(_) => return Err(StepFault::ParamsNotAnObject),
        };
        Ok(Self {
            summary: text_or_empty(value, "summary"),
            tool_name: tool_name.to_owned(),
            params,
            rationale: rationale.ok_or(StepFault::NoRationale)?.to_owned(),
        })
    }

    fn check(&self, tools: &[Tool]) -> Result<(), StepFault> {
        let length = serde_json::to_string(&self.params).map_or(usize::MAX, |text| text.len());
        if length > LONGEST_PARAMS {
            return Err(StepFault::ParamsTooLong(length));
        }
        let tool = tools::find(tools, &self.tool_name).ok_or(StepFault::UnknownTool)?;
        tool.check(&self.params).map_err(|error| StepFault::Param { tool: self.tool_name.clone(), error })
    }
}

/// The parameters without what JavaScript takes for an object's prototype: a device that copies them field by field would
/// change objects of its own. No tool has such a parameter.
fn without_prototypes(params: &Map<String, Value>) -> Map<String, Value> {
    let fields = params.iter().filter(|(name, _)| *name != "__proto__");
    fields.map(|(name, value)| (name.clone(), without_prototype(value))).collect()
}

fn without_prototype(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_prototypes(fields)),
        Value::Array(items) => items.iter().map(without_prototype).collect(),
        value => value.clone(),
    }
}

/// The whole text if it is JSON, else that of the first fenced block. There the value is read first and
/// the fence's end looked for after it: strings may hold backticks.
fn json_of(text: &str) -> Result<Value, PlanError> {
    if text.len() > LONGEST {
        return Err(PlanError::TooLong);
    }
    let bare = json::read(text.trim());
    let Some((_, fenced)) = text.split_once("```").filter(|_| bare.is_err()) else {
        return Ok(bare?);
    };
    let fenced = fenced.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let mut values = Deserializer::from_str(fenced).into_iter::<&RawValue>();
    let first = values.next().ok_or(PlanError::NotJson { line: 1, column: 1 })?;
    let value = json::read(first.map_err(|error| Fault::of(&error))?.get())?;
    let closed = fenced[values.byte_offset()..].trim_start().starts_with("```");
    closed.then_some(value).ok_or(PlanError::OpenFence)
}

impl From<Fault> for PlanError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax { line, column } => Self::NotJson { line, column },
            Fault::TooDeep => Self::TooDeep,
            Fault::LoneSurrogate => Self::LoneSurrogate,
            Fault::Reserved => Self::ReservedKey,
        }
    }
}

/// Cuts a text to so many characters, the mark of the cut among them.
fn cut(text: &mut String, characters: usize) {
    if text.chars().nth(characters).is_some() {
        *text = text.chars().take(characters - 1).chain(['…']).collect();
    }
}

fn text_or_empty(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What could not be stored, or not be read again once it is inside an iteration.
fn check_storable(value: &Value, depth: usize) -> Result<(), PlanError> {
    if depth > MAX_DEPTH {
        return Err(PlanError::TooDeep);
    }
    let without_nul = |text: &str| if text.contains('\0') { Err(PlanError::Nul) } else { Ok(()) };
    match value {
        Value::String(text) => without_nul(text),
        Value::Array(items) => items.iter().try_for_each(|item| check_storable(item, depth + 1)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            without_nul(key)?;
            check_storable(value, depth + 1)
        }),
        _ => Ok(()),
    }
}
