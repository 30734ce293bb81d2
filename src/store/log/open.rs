//! Opens what stands in rows: sizes first, and texts in parts.
//!
//! A statement's row is held whole by the client's buffer, and in copies while it arrives. So a long text comes in rows of
//! at most [`PART`] bytes each, and is sent only once its size is known and there is room for it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::value::RawValue;
use sqlx::types::Json;
use uuid::Uuid;

use super::held::Held;
use crate::domain::opened::Asks;
use crate::store::limits::LIMIT;
use crate::store::{StoreError, UserTx};

/// Bytes of a text in one row of an answer. A text of at most as many is sent without asking for its size first.
pub(super) const PART: usize = 64 * 1024;

/// `data #> '{}'` is `data`, unpacked: without it each `->` unpacks it again. NULL as a name stands for all of it. OFFSET 0 keeps
/// Postgres from making the text once per part. Parts are of bytes, because the nth byte is found at once.
const OPEN: &str = "
SELECT asked.id, name, octet_length(bytes) AS size, first,
    CASE WHEN octet_length(bytes) <= $4 THEN substring(bytes FROM first + 1 FOR $5) END AS part
FROM unnest($1::uuid[], $2::jsonb[]) AS asked (id, names)
JOIN public.sync_changes AS log ON log.id = asked.id AND log.user_id = $3,
LATERAL (SELECT log.data #> '{}' AS data OFFSET 0) AS unpacked,
LATERAL jsonb_array_elements_text(asked.names) AS name,
LATERAL (SELECT convert_to((CASE WHEN name IS NULL THEN unpacked.data ELSE unpacked.data -> name END)::text, 'UTF8') AS bytes
    OFFSET 0) AS value,
LATERAL generate_series(0, CASE WHEN octet_length(bytes) <= $4 THEN octet_length(bytes) - 1 ELSE 0 END, $5) AS first";

/// The lists of iterations of rows, in the order in which the rows are asked for: OFFSET 0 keeps Postgres from joining them
/// otherwise.
const LISTS: &str = "
SELECT asked.id, 'iterations' AS name, octet_length(bytes) AS size, first,
    CASE WHEN octet_length(bytes) <= $3 THEN substring(bytes FROM first + 1 FOR $4) END AS part
FROM unnest($1::uuid[]) AS asked (id),
LATERAL (SELECT convert_to((data -> 'iterations')::text, 'UTF8') AS bytes FROM public.sync_changes
    WHERE id = asked.id AND user_id = $2 OFFSET 0) AS list,
LATERAL generate_series(0, CASE WHEN octet_length(bytes) <= $3 THEN octet_length(bytes) - 1 ELSE 0 END, $4) AS first";

/// Names in rows that are to be opened.
#[derive(Debug, Default)]
pub(super) struct Asked {
    ids: Vec<Uuid>,
    names: Vec<Json<BTreeSet<Option<String>>>>,
}

/// What stands in a row under a name.
#[derive(Debug)]
pub(super) struct OpenedValue {
    pub id: Uuid,
    /// The name that was asked for; `None` for all of `data`.
    pub name: Option<String>,
    /// Bytes of its text; `None` where nothing stands there.
    pub size: Option<usize>,
    /// `None` also where it is longer than was asked for.
    pub text: Option<String>,
}

/// A row, the name that was asked for, and what stands there.
pub(super) type Opening = (Uuid, Option<String>, Option<Box<RawValue>>);

#[derive(sqlx::FromRow)]
struct PartFromLog {
    id: Uuid,
    name: Option<String>,
    size: Option<i32>,
    first: i32,
    part: Option<Vec<u8>>,
}

impl Asked {
    pub fn of(asks: &Asks) -> Self {
        let mut asked = Self::default();
        for (id, names) in &asks.names {
            asked.ids.push(*id);
            asked.names.push(Json(names.iter().cloned().map(Some).collect()));
        }
        asked
    }

    /// Asks for a name, or for all of `data`.
    pub fn push(&mut self, id: Uuid, name: Option<String>) {
        self.ids.push(id);
        self.names.push(Json([name].into()));
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Reads the values one after the other. Texts over `most` bytes are not sent.
    pub async fn read(
        self,
        tx: &mut UserTx,
        most: usize,
        mut take: impl FnMut(OpenedValue) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let user_id = tx.user_id().to_owned();
        let parts = sqlx::query_as::<_, PartFromLog>(OPEN).bind(self.ids).bind(self.names).bind(user_id);
        let parts = parts.bind(sql_bytes(most.min(LIMIT))).bind(sql_bytes(PART)).fetch(&mut **tx);
        whole_texts(parts.boxed(), |value| take(value).map(ControlFlow::Continue)).await
    }
}

/// Reads the lists of iterations of rows in this order, each when it is its turn, until `take` breaks off. Texts over `most`
/// bytes are not sent.
pub(super) async fn read_lists(
    tx: &mut UserTx,
    rows: Vec<Uuid>,
    most: usize,
    take: impl FnMut(OpenedValue) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let user_id = tx.user_id().to_owned();
    let parts = sqlx::query_as::<_, PartFromLog>(LISTS).bind(rows).bind(user_id);
    let parts = parts.bind(sql_bytes(most.min(LIMIT))).bind(sql_bytes(PART)).fetch(&mut **tx);
    whole_texts(parts.boxed(), take).await
}

/// Puts the parts together.
async fn whole_texts(
    mut parts: BoxStream<'_, sqlx::Result<PartFromLog>>,
    mut take: impl FnMut(OpenedValue) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut text = Vec::new();
    while let Some(PartFromLog { id, name, size, first, part }) = parts.try_next().await? {
        let size = size.and_then(|size| usize::try_from(size).ok());
        let whole = match part {
            None => None,
            Some(part) => {
                if first == 0 {
                    text = Vec::with_capacity(size.unwrap_or_default());
                }
                text.extend_from_slice(&part);
                if Some(text.len()) != size {
                    continue;
                }
                Some(String::from_utf8(std::mem::take(&mut text)).map_err(sqlx::Error::decode)?)
            }
        };
        if take(OpenedValue { id, name, size, text: whole })?.is_break() {
            break;
        }
    }
    Ok(())
}

pub(super) fn sql_bytes(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

impl OpenedValue {
    /// Is it longer than was asked for?
    pub fn is_longer(&self) -> bool {
        self.size.is_some() && self.text.is_none()
    }

    /// Reads the text as JSON, once there is room for what is in it.
    pub fn read(self, held: &mut Held) -> Result<Opening, StoreError> {
        if let Some(text) = &self.text {
            held.values(text)?;
        }
        Ok((self.id, self.name, self.text.map(RawValue::from_string).transpose()?))
    }
}
