//! What must stand in a mission's record in the end, whatever lists devices sent: our plans, and what users said of them.
//! Read from the log alone, without the service's own idea of what is lost.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use mana_ai::domain::change::{ChangeRow, Clocks, Fields, Op};
use mana_ai::domain::fold::{Record, fold, text_of};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

use crate::support::TestDb;

/// Counted over all missions that are neither deleted nor ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Iterations that a plan's row brought, without an excuse: see [`Log::lacks`].
    pub plans: usize,
    /// Iterations without the feedback that was written last.
    pub feedback: usize,
}

impl Missing {
    pub async fn of(db: &TestDb) -> Self {
        let mut missing = Self::default();
        for log in logs(db).await {
            let Some(record) = fold(log.rows().cloned().collect()).filter(|record| !has_ended(record)) else {
                continue;
            };
            let there = list(&record.fields);
            missing.plans += log.plans().filter(|plan| log.lacks(plan, &there)).count();
            let told = |(id, text): &(String, String)| {
                find(&there, id).is_some_and(|it| it["userFeedback"] == **text)
            };
            missing.feedback += log.feedback().into_iter().filter(|feedback| !told(feedback)).count();
        }
        missing
    }
}

/// The rows of a mission since it was last hard-deleted, and whether each is ours.
#[derive(Default)]
struct Log(Vec<(ChangeRow, bool)>);

/// An iteration that a plan's row brought.
struct Plan {
    /// Which row of the log.
    row: usize,
    id: String,
}

impl Log {
    fn rows(&self) -> impl Iterator<Item = &ChangeRow> {
        self.0.iter().map(|(row, _)| row)
    }

    fn of_devices(&self) -> impl Iterator<Item = &ChangeRow> {
        self.0.iter().filter(|(_, ours)| !ours).map(|(row, _)| row)
    }

    /// Ours is the last iteration of our row.
    fn plans(&self) -> impl Iterator<Item = Plan> {
        let of_plans =
            self.0.iter().enumerate().filter(|(_, (row, ours))| *ours && row.data.contains_key("nextRunAt"));
        of_plans.filter_map(|(at, (row, _))| {
            let id = list(&row.data).last()?["id"].as_str()?.to_owned();
            Some(Plan { row: at, id })
        })
    }

    /// The plan's slot and the next one, where its row moved the mission on.
    fn slot(&self, plan: &Plan) -> Option<(Timestamp, Option<Timestamp>)> {
        let next = |fields: &Fields| text_of(fields, "nextRunAt")?.parse::<Timestamp>().ok();
        let before = fold(self.rows().take(plan.row).cloned().collect())?;
        let (from, until) = (next(&before.fields)?, next(&self.0[plan.row].0.data));
        (until != Some(from)).then_some((from, until))
    }

    /// Is the plan missing, although nobody took its place?
    fn lacks(&self, plan: &Plan, there: &[Value]) -> bool {
        find(there, &plan.id).is_none() && !self.superseded(plan) && !self.planned_by_a_tab(plan)
    }

    /// A later plan of ours left it out, and no device has ever read it. A slot that failed supersedes nothing.
    fn superseded(&self, plan: &Plan) -> bool {
        let left_out = self.plans().any(|other| {
            let list = list(&self.0[other.row].0.data);
            other.row > plan.row
                && find(&list, &plan.id).is_none()
                && list.last().is_some_and(|it| it["overallStatus"] != "failed")
        });
        left_out && !self.of_devices().any(|row| find(&list(&row.data), &plan.id).is_some_and(is_read))
    }

    fn planned_by_a_tab(&self, plan: &Plan) -> bool {
        let Some((from, until)) = self.slot(plan) else { return false };
        let in_slot = |it: &Value| {
            let started = it["startedAt"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            started.is_some_and(|at| at >= from && until.is_none_or(|until| at < until))
        };
        let by_a_tab =
            |it: &Value| it["source"] == "browser" && it["overallStatus"] != "failed" && in_slot(it);
        self.of_devices().any(|row| list(&row.data).iter().any(by_a_tab))
    }

    /// The newest text per iteration: one that no row before had. A text that comes again is a stale copy.
    fn feedback(&self) -> BTreeMap<String, String> {
        let (mut known, mut newest) = (BTreeSet::new(), BTreeMap::new());
        for iteration in self.rows().flat_map(|row| list(&row.data)) {
            let (Some(id), Some(text)) = (iteration["id"].as_str(), iteration["userFeedback"].as_str())
            else {
                continue;
            };
            if known.insert((id.to_owned(), text.to_owned())) {
                newest.insert(id.to_owned(), text.to_owned());
            }
        }
        newest
    }
}

/// By one of the signs that either generation of devices leaves.
fn is_read(iteration: &Value) -> bool {
    let steps = iteration["plan"].as_array().map(Vec::as_slice).unwrap_or_default();
    iteration["overallStatus"] != "awaiting-review"
        || iteration["userFeedback"].is_string()
        || steps.iter().any(|step| step["status"] != "planned" || !step["proposalId"].is_null())
}

fn find<'list>(list: &'list [Value], id: &str) -> Option<&'list Value> {
    list.iter().find(|iteration| iteration["id"] == id)
}

fn list(fields: &Fields) -> Vec<Value> {
    fields.get("iterations").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn has_ended(record: &Record) -> bool {
    let state = text_of(&record.fields, "state");
    text_of(&record.fields, "deletedAt").is_some() || matches!(state.as_deref(), Some("done" | "archived"))
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    record_id: String,
    id: Uuid,
    created_at: SqlTime,
    op: String,
    data: Json<Box<RawValue>>,
    clocks: Json<Box<RawValue>>,
    ours: bool,
}

async fn logs(db: &TestDb) -> Vec<Log> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT user_id, record_id, id, created_at, op, coalesce(data, '{}') AS data,
             coalesce(field_timestamps, '{}') AS clocks, client_id = 'mana-ai-runner' AS ours
         FROM sync_changes WHERE app_id = 'ai' AND table_name = 'aiMissions' ORDER BY created_at, id",
    )
    .fetch_all(&db.admin)
    .await
    .unwrap();
    let mut logs: BTreeMap<(String, String), Log> = BTreeMap::new();
    for row in rows {
        let log = logs.entry((row.user_id, row.record_id)).or_default();
        let op = match &*row.op {
            "insert" => Op::Insert,
            "update" => Op::Update,
            _ => Op::Delete,
        };
        // What is no object has no fields, as in the service.
        let data: Fields = serde_json::from_str(row.data.get()).unwrap_or_default();
        let field_timestamps: Clocks = serde_json::from_str(row.clocks.get()).unwrap_or_default();
        if op == Op::Delete && !data.contains_key("deletedAt") {
            log.0.clear();
        }
        let (id, created_at) = (row.id, row.created_at.to_jiff());
        log.0.push((ChangeRow { id, created_at, op, data, field_timestamps }, row.ours));
    }
    logs.into_values().collect()
}
