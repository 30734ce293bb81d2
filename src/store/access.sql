-- What mana-ai needs of a database: two roles without login, a schema, a view, a policy, grants.
-- Every statement may be repeated. `mana-ai migrate` runs this where its login may create roles and
-- owns sync_changes; else it prints this for whoever may.
--
--   mana_ai_reader  owns the view, and may read missions of all users, but only through it.
--   mana_ai         what the service becomes in every transaction: the view, and of sync_changes
--                   whatever row security shows to the user that the transaction set.

-- Roles belong to the whole cluster: another database's migration may create them at this moment.
DO $$ BEGIN CREATE ROLE mana_ai_reader NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE mana_ai NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

-- Who is no superuser can hand objects over only to a role that it is in. The second is the login of
-- the service, where another login runs this.
DO $$ DECLARE login text := coalesce(nullif(current_setting('mana_ai.login', true), ''), session_user);
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT mana_ai, mana_ai_reader TO %I', current_user);
    END IF;
    IF NOT pg_has_role(login, 'mana_ai', 'MEMBER') THEN
        EXECUTE format('GRANT mana_ai TO %I', login);
    END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS mana_ai;
ALTER SCHEMA mana_ai OWNER TO mana_ai;
GRANT USAGE, CREATE ON SCHEMA mana_ai TO mana_ai_reader;

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
    ARRAY[field_timestamps -> 'state', field_timestamps -> 'nextRunAt', field_timestamps -> 'deletedAt',
          field_timestamps -> 'createdAt', field_timestamps -> 'updatedAt'] AS field_times
FROM sync_changes
-- Ids are UUIDs. One that is too long for an index of ours must not stop the refresh of all others.
WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
-- Raised with every change of this file, so that an installed one is replaced.
COMMENT ON VIEW mana_ai.mission_changes IS 'mana-ai access 1';
ALTER VIEW mana_ai.mission_changes OWNER TO mana_ai_reader;
GRANT SELECT ON mana_ai.mission_changes TO mana_ai;

REVOKE CREATE ON SCHEMA mana_ai FROM mana_ai_reader;
DO $$ BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('REVOKE mana_ai_reader FROM %I', current_user);
    END IF;
END $$;
