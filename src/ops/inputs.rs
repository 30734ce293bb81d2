//! What the model would be told of a mission's linked records: how much of each, and why not more. Never a word of any.

use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use crate::inputs::linked::{Linked, LinkedRecord, State};
use crate::inputs::links::Links;
use crate::store::log::linked::wait_and_read_linked;
use crate::store::{StoreError, UserTx};

/// The records that a mission links.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Each once, in the user's order; at most 50.
    records: Vec<InputStatus>,
    /// How many more are linked. They are not read.
    more: usize,
    /// Characters of all records in the prompt.
    characters: usize,
}

/// A linked record.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputStatus {
    /// Its place among the mission's links, from 1.
    position: usize,
    /// The module that it is of; null where that is none that can be linked.
    module: Option<&'static str>,
    /// How much of it the model is told, or why nothing.
    state: State,
    /// How many characters of it are in the prompt.
    characters: usize,
}

impl Inputs {
    /// Reads the records in the transaction of their user.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(super) async fn read(tx: &mut UserTx, links: Links) -> Result<Self, StoreError> {
        let read = wait_and_read_linked(tx, &links).await?;
        // An event that ends on another day is some characters longer, and in another zone that may be so or not.
        let linked = Linked::of(links, read, &TimeZone::UTC);
        let records: Vec<InputStatus> = linked.records.iter().map(InputStatus::of).collect();
        let characters = records.iter().map(|record| record.characters).sum();
        Ok(Self { records, more: linked.more, characters })
    }
}

impl InputStatus {
    fn of(record: &LinkedRecord) -> Self {
        Self {
            position: record.link.position,
            module: record.link.module().map(|module| module.name),
            state: record.state,
            characters: record.text.chars().count(),
        }
    }
}
