//! What mana-ai sets up on mana-sync's table, and whether it is there.

use super::shape::Shape;

/// The index on mission rows. Apart from everything else, since it is built CONCURRENTLY.
pub(in crate::store) const INDEX: &str = include_str!("index.sql");

/// Grants, policies and the view, as a part of `access.sql`.
pub(in crate::store) fn view_sql(shape: &Shape) -> String {
    shape.text(include_str!("view.sql"))
}

/// What `view.sql` makes, and what mana-sync makes for us: each row names one thing that is not as it should be.
pub(in crate::store) const PROBLEMS: &str = "
WITH own AS (SELECT to_regrole('mana_ai') AS me, to_regrole('mana_ai_reader') AS reader,
                    to_regclass('sync_changes') AS log, to_regclass('mana_ai.mission_changes') AS view,
                    to_regclass('mana_ai.mission_writers') AS writers)
SELECT problem FROM own, LATERAL (VALUES
    ((SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = log),
        'row security of sync_changes is off, mana-sync turns it on when it starts'),
    (has_table_privilege(me, log, 'SELECT') AND has_table_privilege(me, log, 'INSERT'),
        'role mana_ai may not read and write sync_changes'),
    (has_table_privilege(reader, log, 'SELECT'), 'role mana_ai_reader may not read sync_changes'),
    (EXISTS (SELECT FROM pg_policy WHERE polrelid = log AND polname = 'mana_ai_schedule'),
        'the policy mana_ai_schedule is missing, so no mission is seen'),
    (EXISTS (SELECT FROM pg_policy WHERE polrelid = log AND polname = 'mana_ai_missions_only'),
        'the policy mana_ai_missions_only is missing'),
    (EXISTS (SELECT FROM pg_policy WHERE polrelid = log AND polpermissive AND polcmd IN ('*', 'r')
             AND polroles && ARRAY[0::oid, me]) AND
     EXISTS (SELECT FROM pg_policy WHERE polrelid = log AND polpermissive AND polcmd IN ('*', 'a')
             AND polroles && ARRAY[0::oid, me]),
        'no policy of sync_changes lets a user''s own rows be read and written, mana-sync makes it when it starts'),
    ((SELECT relowner = reader FROM pg_class WHERE oid = view) AND has_table_privilege(me, view, 'SELECT')
        AND obj_description(view) = 'mana-ai access 1',
        'the view mana_ai.mission_changes is missing, closed, or of another version'),
    ((SELECT relowner = reader FROM pg_class WHERE oid = writers) AND has_table_privilege(me, writers, 'SELECT')
        AND obj_description(writers) = 'mana-ai access 1',
        'the view mana_ai.mission_writers is missing, closed, or of another version')
) AS checks (fine, problem) WHERE fine IS NOT TRUE";
