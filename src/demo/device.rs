//! A simulated device of April 2026 with mana-sync behind it: keeps copies of missions, writes its edits as they arrive in
//! the log, pulls, stages proposals, and carries out what its user approves.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use super::edit::changes;
use crate::domain::change::{APP_ID, TABLE_NAME};
use crate::domain::fold::Record;
use crate::domain::iteration::Actor;
use crate::domain::opened::Wanted;
use crate::domain::staging::{self, Proposal};
use crate::domain::time::iso;
use crate::planner::tools::{Kind, TOOLS, find};
use crate::store::log::read::fold_record;
use crate::store::{Store, StoreError, UserTx};

/// Where missions are.
const MISSIONS: (&str, &str) = (APP_ID, TABLE_NAME);

/// One device of one user.
#[derive(Debug, Clone)]
pub struct Device {
    /// mana-sync's connections: they set the user per transaction, as that does.
    pub sync: PgPool,
    /// For pulling.
    pub store: Store,
    /// The user who is signed in on it.
    pub user_id: String,
    /// `client_id` of its rows.
    pub client_id: String,
    /// Iterations that it has staged already.
    pub handled: HashSet<String>,
    /// Does it pull before it edits? A stale tab does not: it edits the copy that it has, and sends that copy's lists.
    pub pulls_first: bool,
    /// Its copies of records by id.
    pub copies: Copies,
}

/// The records of a device by id, as of its last pull and its own edits since.
pub type Copies = Arc<Mutex<BTreeMap<String, Map<String, Value>>>>;

/// A row as mana-sync inserts it.
#[derive(Debug, Clone)]
pub struct SyncRow<'row> {
    /// App and table in which the record is.
    pub place: (&'row str, &'row str),
    /// Id of the record.
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
    /// A device that has nothing yet, and pulls before it edits.
    pub fn new(sync: PgPool, store: Store, user_id: &str, client_id: &str) -> Self {
        let (user_id, client_id) = (user_id.to_owned(), client_id.to_owned());
        let (handled, copies) = (HashSet::new(), Copies::default());
        Self { sync, store, user_id, client_id, handled, pulls_first: true, copies }
    }

    /// Another device of the same user, which has nothing yet.
    pub fn second(&self) -> Self {
        Self::new(self.sync.clone(), self.store.clone(), &self.user_id, &format!("{}-2", self.client_id))
    }

    /// This device as a tab that pulls no more.
    pub fn stale(self) -> Self {
        Self { pulls_first: false, ..self }
    }

    /// Appends a row to the log, in a transaction with its user set. For tests that write odd rows; an edit as a device
    /// makes it is [`Self::edit_mission`].
    ///
    /// # Errors
    /// Where the database does not take the row.
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

    /// Inserts a new mission, whole.
    ///
    /// # Errors
    /// Where the database does not take the row.
    pub async fn create_mission(&self, id: &str, data: Value) -> sqlx::Result<()> {
        self.create(MISSIONS, id, data).await
    }

    /// Inserts a new record of any app, whole.
    ///
    /// # Errors
    /// Where the database does not take the row.
    pub async fn create(&self, place: (&str, &str), id: &str, data: Value) -> sqlx::Result<()> {
        if let Value::Object(fields) = &data {
            self.keep(id, fields.clone());
        }
        let (op, field_timestamps, actor) = ("insert", json!({}), Actor::User);
        self.push(SyncRow { place, record_id: id, op, data, field_timestamps, actor }).await
    }

    /// Edits fields of its copy of a mission under one timestamp. A device without a copy pulls, however stale it may be
    /// later.
    ///
    /// # Errors
    /// Where the mission cannot be pulled, or the database does not take the row.
    pub async fn edit_mission(&self, id: &str, fields: Value, at: Timestamp) -> Result<(), StoreError> {
        if self.pulls_first || self.copy(id).is_none() {
            self.pull(id).await?;
        }
        Ok(self.edit(MISSIONS, id, fields, at).await?)
    }

    /// Edits fields of its copy of a record under one timestamp, and sends what a device sends for that: objects in parts,
    /// all lists, `updatedAt`.
    ///
    /// # Errors
    /// Where the database does not take the row.
    pub async fn edit(
        &self,
        place: (&str, &str),
        id: &str,
        fields: Value,
        at: Timestamp,
    ) -> sqlx::Result<()> {
        let before = self.copy(id).unwrap_or_default();
        let mut after = before.clone();
        after.extend(fields.as_object().cloned().unwrap_or_default());
        after.insert("updatedAt".into(), json!(iso(at)));
        let sent = changes(&before, &after);
        self.keep(id, after);
        let times: Map<String, Value> = sent.keys().map(|name| (name.clone(), json!(iso(at)))).collect();
        let (data, field_timestamps, actor) = (Value::Object(sent), Value::Object(times), Actor::User);
        self.push(SyncRow { place, record_id: id, op: "update", data, field_timestamps, actor }).await
    }

    /// What the device has after a sync; its copy is that from now on.
    ///
    /// # Errors
    /// Where the database does not answer, or a row of the mission cannot be read.
    pub async fn pull(&self, mission_id: &str) -> Result<Option<Record>, StoreError> {
        let mut tx = UserTx::begin(&self.store, &self.user_id).await?;
        let record = fold_record(&mut tx, mission_id, Wanted::All).await??;
        match &record {
            Some(record) => self.keep(mission_id, tree(record)),
            None => drop(self.copies.lock().unwrap_or_else(PoisonError::into_inner).remove(mission_id)),
        }
        Ok(record)
    }

    fn copy(&self, mission_id: &str) -> Option<Map<String, Value>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner).get(mission_id).cloned()
    }

    fn keep(&self, mission_id: &str, fields: Map<String, Value>) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.insert(mission_id.to_owned(), fields);
    }

    /// Pulls, stages what is new, and pushes the markers, so that no other device stages it again.
    ///
    /// # Errors
    /// As [`Self::pull`] and [`Self::edit_mission`].
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
    ///
    /// # Errors
    /// Where the params do not fit, the tool is another one, or the database does not take the row.
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

/// Without values that cannot be read as a tree.
fn tree(record: &Record) -> Map<String, Value> {
    let read = |raw: &str| crate::domain::json::read(raw).ok();
    record.fields.iter().filter_map(|(field, raw)| Some((field.clone(), read(raw.get())?))).collect()
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
///
/// # Errors
/// Where the tool is unknown or a parameter does not fit.
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
