//! Why an attempt failed, what that means for the next one, and how its user is told.

use crate::domain::mission::Unreadable;
use crate::domain::run::Disposition;
use crate::domain::run::RunOutcome;
use crate::llm::error::LlmError;
use crate::llm::service::CallError;
use crate::planner::plan::PlanError;
use crate::store::{Blame, StoreError};

/// Why an attempt failed. None of the messages holds text of the mission or of the model.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record cannot be read as a mission.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The call of mana-llm failed or was not made.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer, and its repair, held no usable plan.
    #[error("no usable plan: {0}")]
    Plan(#[from] PlanError),
    /// A plan was made and could not be stored.
    #[error("plan not written: {0}")]
    WriteBack(Box<AttemptError>),
    /// The process was told to stop, and the time to drain is over.
    #[error("the service was stopped during the attempt")]
    Interrupted,
    /// The attempts before this one were lost: their processes never ended them.
    #[error("{0} attempts in a row ended with their process: crashed, killed, or cut off beyond the lease")]
    NeverReturned(u32),
}

impl AttemptError {
    /// What it means for the next attempt.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Store(error) => match error.blame() {
                Blame::Database => Disposition::Uncharged,
                Blame::Conflict => Disposition::Transient,
                Blame::Mission | Blame::Refusal => Disposition::MissionFault,
                Blame::Row => Disposition::Permanent,
            },
            Self::Unreadable(_) | Self::NeverReturned(_) => Disposition::Permanent,
            Self::Call(CallError::Llm(error)) => error.disposition(),
            Self::Call(CallError::CircuitOpen(_)) | Self::Interrupted => Disposition::Uncharged,
            Self::Plan(_) => Disposition::MissionFault,
            Self::WriteBack(error) => error.disposition(),
        }
    }

    /// Did the server refuse a statement with a code that it gives for faults of its own? See
    /// [`Disposition::RefusedByDatabase`].
    pub(super) fn is_refusal_by_server(&self) -> bool {
        match self {
            Self::Store(error) => error.is_refusal_by_server(),
            Self::WriteBack(error) => error.is_refusal_by_server(),
            _ => false,
        }
    }

    /// As the ledger names it.
    pub fn outcome(&self) -> RunOutcome {
        match self {
            Self::WriteBack(error) => return error.outcome(),
            Self::Interrupted => return RunOutcome::Interrupted,
            Self::Call(CallError::CircuitOpen(_)) => return RunOutcome::Held,
            _ => {}
        }
        match self.disposition() {
            Disposition::Transient | Disposition::MissionFault => RunOutcome::Failed,
            // The ledger has one word for "mana-llm told everybody to wait"; the reason says which of the two it was.
            Disposition::RateLimited { .. } | Disposition::ProvidersDown { .. } => RunOutcome::RateLimited,
            Disposition::Misconfigured => RunOutcome::Misconfigured,
            Disposition::Uncharged | Disposition::RefusedByDatabase => RunOutcome::Database,
            Disposition::Permanent => RunOutcome::Quarantined,
        }
    }

    /// The summary of a slot that failed, for the user: what happened and what comes next, in plain German.
    pub fn told_to_user(&self, attempts: u32, comes_again: bool, rests: bool) -> String {
        let what = match self {
            Self::Plan(_) | Self::Call(CallError::Llm(LlmError::NoText(_))) => {
                "Die KI hat keinen brauchbaren Plan geliefert."
            }
            Self::Call(CallError::Llm(LlmError::PromptRefused { .. })) => {
                "Der KI-Dienst hat die Anfrage zu dieser Mission nicht angenommen; vielleicht ist ihr Text zu lang."
            }
            Self::Call(_) => "Der KI-Dienst war nicht erreichbar oder hat nicht rechtzeitig geantwortet.",
            _ => "Die Mission konnte nicht gelesen oder ihr Plan nicht gespeichert werden.",
        };
        let next = if rests {
            "Weil das mehrmals hintereinander so war, wird es erst nach einem Tag wieder versucht."
        } else if comes_again {
            "Zum nächsten Termin wird es wieder versucht."
        } else {
            "Von selbst wird es nicht wieder versucht."
        };
        let tries = if attempts == 1 { "einem Versuch".into() } else { format!("{attempts} Versuchen") };
        format!("Dieser Durchlauf ist nach {tries} ausgefallen. {what} {next}")
    }
}
