//! The vectors of the fold, through a real database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff_sqlx::ToSqlx;
use mana_ai::domain::fold::{Record, fold};
use mana_ai::domain::mission::Standing;
use mana_ai::store::UserTx;
use mana_ai::store::log::read::fold_missions;
use mana_ai::store::schedule::refresh::refresh;
use sqlx::types::Json;
use sqlx::{Executor, Row};

use crate::domain::vectors::{FoldVector, fold_vectors, values};
use crate::support::World;

/// The same through the database, which sorts the rows and keeps them as `jsonb`: what the service does.
#[tokio::test]
async fn fold_through_postgres_agrees_with_devices() {
    let world = World::new().await;
    let vectors = fold_vectors();
    for row in vectors.iter().flat_map(|vector| &vector.rows) {
        sqlx::query(
            "INSERT INTO sync_changes (id, app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
             VALUES ($1, 'ai', 'aiMissions', $2, 'alice', $3, $4, $5, 'web', $6)",
        )
        .bind(row.id)
        .bind(&row.record_id)
        .bind(&row.op)
        .bind(Json(&row.data))
        .bind(Json(&row.field_timestamps))
        .bind(row.created_at.to_sqlx())
        .execute(&world.db.admin)
        .await
        .unwrap();
    }
    let mut tx = UserTx::begin(&world.store, "alice").await.unwrap();
    let folded = fold_missions(&mut tx, None).await.unwrap();
    drop(tx);
    let in_memory = |vector: FoldVector| {
        let id = vector.rows[0].record_id.clone();
        (id, fold(vector.rows.into_iter().map(Into::into).collect()))
    };
    let expected: BTreeMap<String, Option<Record>> = vectors.into_iter().map(in_memory).collect();
    let mut scheduled = BTreeSet::new();
    for (id, mission) in folded {
        let (folded, expected) = (mission.record.unwrap(), &expected[&id]);
        let told =
            |record: &Option<Record>| record.as_ref().map(|record| (values(record), record.clocks.clone()));
        assert_eq!(told(&folded), told(expected), "{id}");
        if let Some(Standing::Scheduled(slot)) = expected.as_ref().map(|record| Standing::of(record).unwrap())
        {
            scheduled.insert((id, slot.to_string()));
        }
    }
    // The schedule folds five fields of the same rows, through the view.
    refresh(&world.store, Duration::ZERO, true).await.unwrap();
    let rows = world
        .db
        .admin
        .fetch_all("SELECT mission_id, next_run_at FROM mana_ai.mission_schedule")
        .await
        .unwrap();
    let slots =
        rows.iter().map(|row| (row.get(0), row.get::<jiff_sqlx::Timestamp, _>(1).to_jiff().to_string()));
    assert_eq!(slots.collect::<BTreeSet<(String, String)>>(), scheduled);
    assert!(!scheduled.is_empty(), "the vectors hold active missions");
}
