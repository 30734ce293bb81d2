//! What mana-ai sets up on mana-sync's table, and whether it is there.

use super::log_oid;
use super::shape::Shape;
use crate::inputs::modules::tables;

/// The index on mission rows. Apart from everything else, since it is built CONCURRENTLY.
pub(in crate::store) const INDEX: &str = include_str!("index.sql");
/// Takes away what a build that was cut off has left.
pub(in crate::store) const DROP_INDEX: &str =
    "DROP INDEX CONCURRENTLY IF EXISTS public.mana_ai_mission_changes";

/// Is the index whole? No row where there is none.
pub(in crate::store) const INDEX_IS_VALID: &str = concat!(
    "SELECT indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid
     WHERE relname = 'mana_ai_mission_changes' AND indrelid = ",
    log_oid!()
);

/// Grants, policies and the views, as a part of `access.sql`.
pub(in crate::store) fn view_sql(shape: &Shape) -> String {
    shape.text(include_str!("view.sql")).replace("{linked}", &linked_tables())
}

/// The tables that a mission can link, as the policy lists them. Only constants get into it.
fn linked_tables() -> String {
    tables().map(|table| format!("('{}', '{}')", table.app, table.name)).collect::<Vec<_>>().join(", ")
}

/// What `view.sql` makes, and what mana-sync makes for us: each row names one thing that is not as it should be. Asks
/// the catalogs alone, since a login that may use neither schema must be told what it lacks. An object with a higher
/// number than ours is a newer version's, and serves us too.
pub(in crate::store) const PROBLEMS: &str = concat!(
    "
WITH own AS (SELECT to_regrole('mana_ai') AS me, to_regrole('mana_ai_reader') AS reader, ",
    log_oid!(),
    " AS log),
views AS (
    SELECT relname, relowner = reader AND has_table_privilege(me, pg_class.oid, 'SELECT')
        AND substring(obj_description(pg_class.oid, 'pg_class') FROM '^mana-ai access (\\d+)$')::int >= 1 AS fine
    FROM own, pg_class WHERE relnamespace = to_regnamespace('mana_ai') AND relkind = 'v'),
policies AS (
    SELECT polname, polpermissive, polcmd, polroles,
        substring(obj_description(pg_policy.oid, 'pg_policy') FROM '^mana-ai access (\\d+)$')::int AS number
    FROM own, pg_policy WHERE polrelid = log)
SELECT problem FROM own, LATERAL (VALUES
    ((SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = log),
        'row security of sync_changes is off, mana-sync turns it on when it starts'),
    (has_table_privilege(me, log, 'SELECT') AND has_table_privilege(me, log, 'INSERT'),
        'role mana_ai may not read and write sync_changes'),
    (has_table_privilege(reader, log, 'SELECT'), 'role mana_ai_reader may not read sync_changes'),
    (EXISTS (SELECT FROM policies WHERE polname = 'mana_ai_schedule'),
        'the policy mana_ai_schedule is missing, so no mission is seen'),
    (EXISTS (SELECT FROM policies WHERE polname = 'mana_ai_missions_only' AND number >= 3),
        'the policy mana_ai_missions_only is missing, or of an older version'),
    (EXISTS (SELECT FROM policies WHERE polpermissive AND polcmd IN ('*', 'r') AND polroles && ARRAY[0::oid, me]) AND
     EXISTS (SELECT FROM policies WHERE polpermissive AND polcmd IN ('*', 'a') AND polroles && ARRAY[0::oid, me]),
        'no policy of sync_changes lets a user''s own rows be read and written, mana-sync makes it when it starts'),
    ((SELECT fine FROM views WHERE relname = 'mission_fields'),
        'the view mana_ai.mission_fields is missing, closed, or of an older version'),
    ((SELECT fine FROM views WHERE relname = 'mission_keys'),
        'the view mana_ai.mission_keys is missing, closed, or of an older version')
) AS checks (fine, problem) WHERE fine IS NOT TRUE AND me IS NOT NULL AND reader IS NOT NULL"
);
