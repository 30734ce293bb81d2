-- What the service may see and do of mana-sync's table: grants, policies, and the view that the schedule follows.
DO $$ BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO mana_ai, mana_ai_reader',
        (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'sync_changes'::regclass));
END $$;
GRANT SELECT, INSERT ON sync_changes TO mana_ai;
GRANT SELECT ON sync_changes TO mana_ai_reader;

-- Joins, with OR, the policy of mana-sync, which that drops and makes anew at each start.
DROP POLICY IF EXISTS mana_ai_schedule ON sync_changes;
CREATE POLICY mana_ai_schedule ON sync_changes FOR SELECT TO mana_ai_reader
    USING (app_id = 'ai' AND table_name = 'aiMissions');
-- Joins with AND: also of the user that is set, the service sees and writes missions alone. A policy TO a
-- role binds its members too, and the login may be mana-sync's own: hence the question who it is now.
DROP POLICY IF EXISTS mana_ai_missions_only ON sync_changes;
CREATE POLICY mana_ai_missions_only ON sync_changes AS RESTRICTIVE TO mana_ai
    USING (current_user <> 'mana_ai' OR (app_id = 'ai' AND table_name = 'aiMissions'))
    WITH CHECK (current_user <> 'mana_ai' OR (app_id = 'ai' AND table_name = 'aiMissions'));

-- Of a mission only what decides when it is due. The arrays hold, in this order: state, nextRunAt,
-- deletedAt, createdAt, updatedAt; SQL's NULL for a field that a row does not have. Arrays of plain
-- lookups, since aggregating an object per row costs four times as much.
DROP VIEW IF EXISTS mana_ai.mission_changes;
CREATE VIEW mana_ai.mission_changes AS
SELECT id, user_id, record_id, op, created_at, schema_version,
    ARRAY[data -> 'state', data -> 'nextRunAt', data -> 'deletedAt', data -> 'createdAt', data -> 'updatedAt']
        AS field_values,
    ARRAY[{clocks} -> 'state', {clocks} -> 'nextRunAt', {clocks} -> 'deletedAt',
          {clocks} -> 'createdAt', {clocks} -> 'updatedAt'] AS field_times
FROM sync_changes
-- Ids are UUIDs. One that is too long for an index of ours must not stop the refresh of all others.
WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
-- Who wrote which row: the keys alone, so that asking unpacks no data. A view of its own, so that a replica of an older
-- version finds the other one as it knows it.
DROP VIEW IF EXISTS mana_ai.mission_writers;
CREATE VIEW mana_ai.mission_writers AS
SELECT user_id, record_id, created_at, client_id = 'mana-ai-runner' AS ours
FROM sync_changes
WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
COMMENT ON VIEW mana_ai.mission_writers IS 'mana-ai access 1';
ALTER VIEW mana_ai.mission_writers OWNER TO mana_ai_reader;
GRANT SELECT ON mana_ai.mission_writers TO mana_ai;

-- The number is raised with every change of this file, so that `migrate` replaces what is installed.
COMMENT ON VIEW mana_ai.mission_changes IS 'mana-ai access 1';
ALTER VIEW mana_ai.mission_changes OWNER TO mana_ai_reader;
GRANT SELECT ON mana_ai.mission_changes TO mana_ai;
