//! A row of the schedule, as it is shown.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::DbTime;

/// Where a mission stands in the schedule. None of its text.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Scheduled {
    /// Its `record_id`.
    pub mission_id: String,
    /// Its slot; null where it cannot be read.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_run_at: Option<DbTime>,
    /// Why its record cannot be read as a mission.
    pub unreadable: Option<String>,
    /// Not claimed before this.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<DbTime>,
    /// Not claimed before a device writes a row of it.
    pub until_new_row: bool,
    /// Set aside: it cannot be planned, or its attempts ended with their processes.
    pub quarantined: bool,
    /// The reason to wait that the last attempt left.
    pub waits: Option<String>,
    /// When the lease of the attempt at work ends, unless it is renewed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub lease_until: Option<DbTime>,
    /// Attempts at this slot.
    pub attempts: i32,
    /// Attempts in a row that were lost: their process never came back.
    pub lost: i32,
    /// Slots that failed in a row.
    pub failed_slots: i32,
}
