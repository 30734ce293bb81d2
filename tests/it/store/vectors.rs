//! The vectors of the fold, through a real database.

use std::collections::{BTreeMap, BTreeSet};

use jiff::ToSpan;
use jiff_sqlx::ToSqlx;
use mana_ai::domain::fold::{Record, fold};
use mana_ai::domain::mission::Standing;
use mana_ai::domain::opened::Wanted;
use mana_ai::store::UserTx;
use mana_ai::store::log::read::{fold_record, mission_ids};
use mana_ai::store::log::schedule_fields::fold_schedule_fields;
use sqlx::types::Json;
use sqlx::{Executor, Row};

use crate::domain::vectors::{FoldVector, fold_vectors, values};
use crate::support::{World, compared};

async fn insert(world: &World, vectors: &[FoldVector]) {
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
}

/// The same through the database, which sorts the rows and keeps them as `jsonb`: what the service does.
#[tokio::test]
async fn fold_through_postgres_agrees_with_devices() {
    let world = World::new().await;
    let vectors = fold_vectors();
    insert(&world, &vectors).await;
    let ids: BTreeSet<&String> = vectors.iter().map(|vector| &vector.rows[0].record_id).collect();
    let keys: Vec<_> = ids.into_iter().map(|id| ("alice".to_owned(), id.clone())).collect();
    let mut tx = world.store.begin().await.unwrap();
    let by_clocks = fold_schedule_fields(&mut tx, &keys).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(by_clocks.len(), keys.len());
    let by_clocks: BTreeMap<_, _> = by_clocks.into_iter().map(|fold| (fold.key.1.clone(), fold)).collect();
    let mut tx = UserTx::begin(&world.store, "alice").await.unwrap();
    let mut folded = Vec::new();
    for id in mission_ids(&mut tx).await.unwrap() {
        folded.push((id.clone(), fold_record(&mut tx, &id, Wanted::All).await.unwrap().unwrap()));
    }
    drop(tx);
    assert_eq!(folded.len(), keys.len());
    let in_memory = |vector: FoldVector| {
        let id = vector.rows[0].record_id.clone();
        (id, fold(vector.rows.into_iter().map(Into::into).collect()))
    };
    let expected: BTreeMap<String, Option<Record>> = vectors.into_iter().map(in_memory).collect();
    let mut scheduled = BTreeSet::new();
    for (id, folded) in folded {
        let expected = &expected[&id];
        let told =
            |record: &Option<Record>| record.as_ref().map(|record| (values(record), record.clocks.clone()));
        assert_eq!(told(&folded), told(expected), "{id}");
        let standing = |record: &Option<Record>| record.as_ref().map(Standing::of);
        let of_the_schedule = by_clocks[&id].record.as_ref().unwrap();
        assert_eq!(standing(of_the_schedule), standing(expected), "{id} by clocks");
        if let Some(Standing::Scheduled(slot)) = expected.as_ref().map(|record| Standing::of(record).unwrap())
        {
            scheduled.insert((id, slot.to_string()));
        }
    }
    // The schedule folds five fields of the same rows, through the view.
    compared(&world.store).await;
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

/// More rows than are held at a time, in one mission and in many: none is cut off.
#[tokio::test]
async fn a_mission_of_many_rows_is_folded_whole() {
    let world = World::new().await;
    world
        .db
        .admin
        .execute(
            r#"INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id, created_at)
            SELECT 'ai', 'aiMissions', CASE WHEN i < 6000 THEN 'a-' || i % 60 WHEN i < 17000 THEN 'b' ELSE 'c-' || i % 9 END,
                'alice', 'update', jsonb_build_object('state', 'active', 'nextRunAt', to_char(timestamptz '2026-01-01 00:00:00+00'
                    + i * interval '1 s', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')),
                jsonb_build_object('state', lpad(i::text, 6, '0'), 'nextRunAt', lpad(i::text, 6, '0')), 'web', now() + i * interval '1 s'
            FROM generate_series(0, 17999) AS i"#,
        )
        .await
        .unwrap();
    let ids = (0..60).map(|n| format!("a-{n}")).chain(["b".into()]).chain((0..9).map(|n| format!("c-{n}")));
    let keys: Vec<_> = ids.map(|id| ("alice".to_owned(), id)).collect();
    let mut tx = world.store.begin().await.unwrap();
    let folded = fold_schedule_fields(&mut tx, &keys).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(folded.len(), 70);
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for fold in folded {
        let (kind, number) = fold.key.1.split_once('-').unwrap_or(("b", "0"));
        let number: i64 = number.parse().unwrap();
        let (rows, last) = match kind {
            "a" => (100, 5940 + number),
            "b" => (11_000, 16_999),
            _ => (
                (17_000..18_000).filter(|i| i % 9 == number).count() as i64,
                (17_000..18_000).rfind(|i| i % 9 == number).unwrap(),
            ),
        };
        assert_eq!(fold.change_count, rows, "{:?}", fold.key);
        let standing = Standing::of(&fold.record.unwrap().unwrap());
        assert_eq!(standing, Ok(Standing::Scheduled(start + last.seconds())), "{:?}", fold.key);
    }
}
