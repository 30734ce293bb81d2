//! The keys of the log's mission rows: which row is whose, of which mission, when it was written and by whom. None of
//! these statements unpacks `data`, and none joins the view with itself: without statistics, as on a log that was just
//! restored, such a join takes minutes.

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTime;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::store::{StoreError, sql_time};

/// How many rows there are, and the hashes of their ids, of 64 bits each, mixed into one number. A log only grows, so a slice
/// with a new row has another digest by the count alone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub(in crate::store) struct Digest {
    rows: i64,
    ids: i64,
}

/// The rows of each of these stretches of time, the last of which has no end; in their order. Costs a tenth of asking for
/// the ids, which would have to be collected, sent and looked up.
pub(in crate::store) async fn digests(
    db: &mut PgConnection,
    from: &[Timestamp],
) -> Result<Vec<Digest>, StoreError> {
    let digests = sqlx::query_as(
        "SELECT digest.rows, digest.ids
         FROM unnest($1::timestamptz[], $2::timestamptz[] || 'infinity'::timestamptz) WITH ORDINALITY AS slice (from_, until, place),
         LATERAL (SELECT count(*) AS rows, coalesce(bit_xor(uuid_hash_extended(id, 0)), 0) AS ids
                  FROM mana_ai.mission_keys WHERE created_at >= slice.from_ AND created_at < slice.until) AS digest
         ORDER BY place",
    );
    let times: Vec<SqlTime> = from.iter().copied().map(sql_time).collect();
    let ends: Vec<SqlTime> = times.iter().skip(1).copied().collect();
    Ok(digests.bind(times).bind(ends).fetch_all(db).await?)
}

/// Ids of rows, the oldest first.
#[derive(Debug, Default, sqlx::FromRow)]
pub(in crate::store) struct IdPage {
    pub ids: Vec<Uuid>,
    /// The `created_at` of the last one.
    last: Option<SqlTime>,
}

impl IdPage {
    /// Where the next page begins; `None` where this one is the last, because it has fewer than `limit` rows.
    pub(in crate::store) fn next(&self, limit: i64) -> Option<Timestamp> {
        self.last.map(SqlTime::to_jiff).filter(|_| self.ids.len() as i64 >= limit)
    }
}

/// The ids of `limit` rows newer than `since` and older than `until`, or of a few more: rows of one moment come together.
/// One array, because decoding a row for each id would cost ten times as much.
pub(in crate::store) async fn ids_between(
    db: &mut PgConnection,
    since: Timestamp,
    until: Option<Timestamp>,
    limit: i64,
) -> Result<IdPage, StoreError> {
    let page = sqlx::query_as(
        "SELECT coalesce(array_agg(id), '{}') AS ids, max(created_at) AS last
         FROM (SELECT id, created_at FROM mana_ai.mission_keys
               WHERE created_at > $1 AND created_at < coalesce($2, 'infinity'::timestamptz)
               ORDER BY created_at FETCH FIRST ($3) ROWS WITH TIES) AS page",
    );
    Ok(page.bind(sql_time(since)).bind(until.map(sql_time)).bind(limit).fetch_one(db).await?)
}

/// A mission as the keys of some of its rows show it.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::store) struct MissionKeys {
    pub user_id: String,
    #[sqlx(rename = "record_id")]
    pub mission_id: String,
    /// How many of its rows.
    pub rows: i64,
    /// Is one of them ours?
    pub ours: bool,
    /// Is one of them a device's?
    pub device: bool,
}

impl MissionKeys {
    /// Which mission it is.
    pub(in crate::store) fn key(&self) -> (&str, &str) {
        (&self.user_id, &self.mission_id)
    }
}

/// What each mission has among the rows with these ids.
pub(in crate::store) async fn missions_of_rows(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<MissionKeys>, StoreError> {
    let missions = sqlx::query_as(
        "SELECT user_id, record_id, count(*) AS rows, bool_or(ours) AS ours, bool_or(NOT ours) AS device
         FROM mana_ai.mission_keys WHERE id = ANY($1) GROUP BY user_id, record_id",
    );
    Ok(missions.bind(ids).fetch_all(db).await?)
}

/// The missions with these ids, with all their rows.
pub(in crate::store) async fn missions(
    db: &mut PgConnection,
    mission_ids: &[&str],
) -> Result<Vec<MissionKeys>, StoreError> {
    let missions = sqlx::query_as(
        "SELECT user_id, record_id, count(*) AS rows, bool_or(ours) AS ours, bool_or(NOT ours) AS device
         FROM mana_ai.mission_keys WHERE record_id = ANY($1) GROUP BY user_id, record_id",
    );
    Ok(missions.bind(mission_ids).fetch_all(db).await?)
}

/// The missions whose ids follow `after`, each with all its rows, of `limit` rows in all or of a few more. By mana-sync's
/// index on `(table_name, record_id, created_at)`. The empty id is the first of all.
pub(in crate::store) async fn missions_after(
    db: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<MissionKeys>, StoreError> {
    let missions = sqlx::query_as(
        "SELECT user_id, record_id, count(*) AS rows, bool_or(ours) AS ours, bool_or(NOT ours) AS device
         FROM (SELECT user_id, record_id, ours FROM mana_ai.mission_keys
               WHERE record_id >= $1 AND record_id IS DISTINCT FROM $2
               ORDER BY record_id FETCH FIRST ($3) ROWS WITH TIES) AS slice
         GROUP BY user_id, record_id ORDER BY record_id",
    );
    Ok(missions.bind(after.unwrap_or_default()).bind(after).bind(limit).fetch_all(db).await?)
}

/// How many rows the log has of missions, at most 3 million: counting more would take too long.
pub(in crate::store) async fn count(db: &mut PgConnection) -> Result<u64, StoreError> {
    let counted = "SELECT count(*) FROM (SELECT FROM mana_ai.mission_keys LIMIT 3000000) AS counted";
    let counted: i64 = sqlx::query_scalar(counted).fetch_one(db).await?;
    Ok(counted.unsigned_abs())
}
