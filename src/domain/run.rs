//! One attempt at a slot: how it ends, what it costs, and what its failure means for the next one.

use std::time::Duration;

use serde::Deserialize;
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// How an attempt ended. The text of `mission_runs.outcome`, in kebab case; one that is empty there is still
/// running.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, ToSchema, IntoStaticStr, EnumString, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RunOutcome {
    /// The plan is in the log.
    Planned,
    /// The last attempt of its slot failed: the log says so to the user.
    SlotFailed,
    /// Failed, and will be tried again.
    Failed,
    /// A plan was thrown away: the mission changed during the call. Not charged.
    Outdated,
    /// Nothing to plan after all, or not now. Not charged.
    Skipped,
    /// mana-llm limits the rate. Not charged.
    RateLimited,
    /// mana-llm refuses us as configured. Not charged.
    Misconfigured,
    /// mana-llm was not called: the circuit opened after the claim. Not charged.
    Held,
    /// The database could not take the result. Not charged.
    Database,
    /// The process was stopped. Not charged.
    Interrupted,
    /// The lease was no longer ours, so nothing was written.
    LeaseLost,
    /// Not tried again before a device writes a row of it.
    Quarantined,
    /// Its process never ended it: it crashed, was killed, or was cut off beyond the lease. Charged.
    Lost,
}

impl RunOutcome {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Is the charge of the attempt refunded?
    pub fn is_refunded(self) -> bool {
        use RunOutcome::{Database, Held, Interrupted, Misconfigured, Outdated, RateLimited, Skipped};
        matches!(self, RateLimited | Misconfigured | Held | Database | Interrupted | Skipped | Outdated)
    }
}

/// What an attempt cost: the sum over its calls of mana-llm, of which it makes two where the first plan needs a repair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model that answered last, behind the alias.
    pub model: Option<String>,
    /// Tokens in, over all calls.
    pub prompt_tokens: u64,
    /// Tokens out, over all calls.
    pub completion_tokens: u64,
    /// Time with mana-llm; `None` where it was not called.
    pub latency: Option<Duration>,
    /// Calls that began, but for those that are sure to have cost nothing.
    pub calls: u32,
    /// Which version of the prompt was sent.
    pub prompt_version: Option<String>,
}

impl Usage {
    /// Adds the tokens of a call that was answered.
    pub fn add_call(&mut self, model: Option<&str>, tokens: CallTokens) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(tokens.prompt);
        self.completion_tokens = self.completion_tokens.saturating_add(tokens.completion);
        self.model = model.map(str::to_owned);
    }
}

/// Tokens of a single call, 0 where mana-llm did not tell them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallTokens {
    /// Of the prompt.
    pub prompt: u64,
    /// Of the completion.
    pub completion: u64,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why, where that is not plain; no text of the mission or the model.
    pub reason: Option<String>,
    /// What it wrote.
    pub iteration_id: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

impl RunEnd {
    /// The end of a run that wrote no iteration.
    pub fn of(outcome: RunOutcome, reason: Option<String>, usage: &Usage) -> Self {
        Self { outcome, reason, iteration_id: None, usage: usage.clone() }
    }
}

/// What a failure means for the next attempt. Part of every error of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// May pass by itself: mana-llm is slow, away or broken.
    Transient,
    /// The fault is this mission's alone: no usable plan came of it, or what came could not be stored.
    MissionFault,
    /// mana-llm limits the rate.
    RateLimited {
        /// How long to wait, from now.
        retry_after: Duration,
    },
    /// mana-llm has no provider that works: nobody's call is taken for now.
    ProvidersDown {
        /// When to ask again, from now.
        retry_after: Duration,
    },
    /// mana-llm refuses us as we are configured: an operator has to act.
    Misconfigured,
    /// No fault of mission or model, so not charged: the database was away, the process was stopped, the circuit was open.
    Uncharged,
    /// The database is well, and refuses this mission with a code that it gives for faults of its own. Not charged; but
    /// others must come first, so each attempt waits longer than the one before.
    RefusedByDatabase,
    /// Only a new row of the mission helps.
    Permanent,
}
