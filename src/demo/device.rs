//! A simulated device with mana-sync behind it: writes rows as they arrive in the log, pulls, stages
//! proposals, and carries out what its user approves.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::change::{APP_ID, TABLE_NAME};
use crate::domain::fold::Record;
use crate::domain::iteration::Actor;
use crate::domain::staging::{self, Proposal};
use crate::domain::time::iso;
use crate::planner::tools::{Kind, TOOLS, find};
use crate::store::log::read::fold_mission;
use crate::store::{Store, StoreError, UserTx};

/// One device of one user.
#[derive(Debug, Clone)]
pub struct Device {
    /// mana-sync's connections: they set the user per transaction, as that does.
    pub sync: PgPool,
    /// For pulling.
    pub store: Store,
    /// Whose it is.
    pub user_id: String,
    /// `client_id` of its rows.
    pub client_id: String,
    /// Iterations that it has staged already.
    pub handled: HashSet<String>,
}

/// A row as mana-sync inserts it.
#[derive(Debug, Clone)]
pub struct SyncRow<'row> {
    /// App and table.
    pub place: (&'row str, &'row str),
    /// The record.
    pub record_id: &'row str,
    /// `insert`, `update` or `delete`.
    pub op: &'row str,
    /// `data`.
    pub data: Value,
    /// `field_timestamps`.
    pub field_timestamps: Value,
    /// `actor`.
    pub actor: Actor,
}

impl Device {
    /// Another device of the same user, which knows nothing yet.
    pub fn second(&self) -> Self {
        Self { client_id: format!("{}-2", self.client_id), handled: HashSet::new(), ..self.clone() }
    }

    /// Appends a row to the log, in a transaction with its user set.
    pub async fn push(&self, row: SyncRow<'_>) -> sqlx::Result<()> {
        let mut tx = self.sync.begin().await?;
        sqlx::query("SELECT set_config('app.current_user_id', $1, true)")
            .bind(&self.user_id)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO sync_changes
                 (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, actor)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(row.place.0)
        .bind(row.place.1)
        .bind(row.record_id)
        .bind(&self.user_id)
        .bind(row.op)
        .bind(Json(row.data))
        .bind(Json(row.field_timestamps))
        .bind(&self.client_id)
        .bind(Json(row.actor))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// A new mission, whole.
    pub async fn create_mission(&self, id: &str, data: Value) -> sqlx::Result<()> {
        let actor = Actor::User;
        let place = (APP_ID, TABLE_NAME);
        self.push(SyncRow { place, record_id: id, op: "insert", data, field_timestamps: json!({}), actor })
            .await
    }

    /// Edits fields of a mission under one timestamp; `updatedAt` goes along.
    pub async fn edit_mission(&self, id: &str, mut fields: Value, at: Timestamp) -> sqlx::Result<()> {
        fields["updatedAt"] = json!(iso(at));
        let times =
            fields.as_object().into_iter().flatten().map(|(field, _)| (field.clone(), json!(iso(at))));
        let field_timestamps = Value::Object(times.collect());
        let (place, actor) = ((APP_ID, TABLE_NAME), Actor::User);
        self.push(SyncRow { place, record_id: id, op: "update", data: fields, field_timestamps, actor }).await
    }

    /// What the device has after a sync.
    pub async fn pull(&self, mission_id: &str) -> Result<Option<Record>, StoreError> {
        let mut tx = UserTx::begin(&self.store, &self.user_id).await?;
        fold_mission(&mut tx, mission_id).await?.record
    }

    /// Syncs, stages what is new, and syncs the marks back, so that no other device stages it again.
    pub async fn stage(&mut self, mission_id: &str, now: Timestamp) -> Result<Vec<Proposal>, StoreError> {
        let Some(record) = self.pull(mission_id).await? else { return Ok(Vec::new()) };
        let (proposals, marked) = staging::stage(mission_id, &record, &mut self.handled, new_id);
        if let Some(iterations) = marked {
            self.edit_mission(mission_id, json!({ "iterations": iterations }), now).await?;
        }
        Ok(proposals)
    }

    /// The user says yes: the params are checked as a device does, then the tool runs as the AI.
    /// This device has one tool, the task list. Returns the new task's record id.
    pub async fn approve(&self, proposal: &Proposal, now: Timestamp) -> Result<String, ApproveError> {
        accept(&proposal.tool_name, &proposal.params)?;
        if proposal.tool_name != "create_task" {
            return Err(ApproveError::NoTool(proposal.tool_name.clone()));
        }
        let id = new_id();
        let mut data = Value::Object(proposal.params.clone());
        data["id"] = json!(id);
        data["createdAt"] = json!(iso(now));
        data["updatedAt"] = json!(iso(now));
        let (place, actor) = (("todo", "tasks"), proposal.actor.clone());
        self.push(SyncRow { place, record_id: &id, op: "insert", data, field_timestamps: json!({}), actor })
            .await?;
        Ok(id)
    }
}

#[expect(clippy::disallowed_methods, reason = "the device is at the edge: ids begin here")]
fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// Why an approved proposal does nothing.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ApproveError {
    #[error("this device has no tool {0}")]
    NoTool(String),
    #[error("parameter {0} does not fit")]
    Param(String),
    #[error("the row was not taken: {0}")]
    Sync(#[from] sqlx::Error),
}

/// The device's own check, looser than ours: required ones present, numbers coercible, members of
/// enumerations; unknown extras pass.
pub fn accept(tool_name: &str, params: &Map<String, Value>) -> Result<(), ApproveError> {
    let tool = find(&TOOLS, tool_name).ok_or_else(|| ApproveError::NoTool(tool_name.to_owned()))?;
    for parameter in &tool.parameters {
        let value = params.get(&parameter.name).filter(|value| !value.is_null());
        let fits = match value {
            None => !parameter.required,
            Some(Value::String(text)) if parameter.kind == Kind::Number => text.trim().parse::<f64>().is_ok(),
            Some(value) if parameter.kind == Kind::Number => value.is_number(),
            Some(value) => parameter.allowed.as_ref().is_none_or(|allowed| {
                value.as_str().is_some_and(|text| allowed.iter().any(|member| member == text))
            }),
        };
        if !fits {
            return Err(ApproveError::Param(parameter.name.clone()));
        }
    }
    Ok(())
}
