-- What the service may see and do of mana-sync's table: grants, policies, and the views that the schedule follows.
GRANT USAGE ON SCHEMA public TO mana_ai, mana_ai_reader;
GRANT SELECT, INSERT ON public.sync_changes TO mana_ai;
GRANT SELECT ON public.sync_changes TO mana_ai_reader;

-- Joins, with OR, the policy of mana-sync, which that drops and makes anew at each start.
DROP POLICY IF EXISTS mana_ai_schedule ON public.sync_changes;
CREATE POLICY mana_ai_schedule ON public.sync_changes FOR SELECT TO mana_ai_reader
    USING (app_id = 'ai' AND table_name = 'aiMissions');

-- Joins with AND: also of the user that is set, the service sees only missions and the tables that a mission can link, and
-- writes missions alone. Its name is that of the first version, by which older ones ask for it. A policy TO a role binds
-- also who inherits from it, and that may be mana-sync's own login. So it takes nothing from who has the right by
-- itself, as the table's owner or by a grant of its own; who has it through mana_ai alone sees missions alone.
DO $$ BEGIN
    -- The policy of a newer version stays.
    IF (SELECT substring(obj_description(oid, 'pg_policy') FROM '^mana-ai access (\d+)$')::int FROM pg_policy
        WHERE polrelid = 'public.sync_changes'::regclass AND polname = 'mana_ai_missions_only') > 3 THEN RETURN; END IF;
    DROP POLICY IF EXISTS mana_ai_missions_only ON public.sync_changes;
    CREATE POLICY mana_ai_missions_only ON public.sync_changes AS RESTRICTIVE TO mana_ai
        USING ((app_id = 'ai' AND table_name = 'aiMissions')
            OR current_user = 'mana_ai' AND (app_id, table_name) IN ({linked})
            OR current_user <> 'mana_ai' AND EXISTS (
            SELECT FROM pg_class, aclexplode(relacl) AS own
            WHERE pg_class.oid = 'public.sync_changes'::regclass AND own.privilege_type = 'SELECT'
                AND pg_get_userbyid(own.grantee) NOT IN ('mana_ai', 'mana_ai_reader')
                AND (own.grantee = 0 OR pg_has_role(own.grantee, 'USAGE'))))
        WITH CHECK ((app_id = 'ai' AND table_name = 'aiMissions') OR current_user <> 'mana_ai' AND EXISTS (
            SELECT FROM pg_class, aclexplode(relacl) AS own
            WHERE pg_class.oid = 'public.sync_changes'::regclass AND own.privilege_type = 'INSERT'
                AND pg_get_userbyid(own.grantee) NOT IN ('mana_ai', 'mana_ai_reader')
                AND (own.grantee = 0 OR pg_has_role(own.grantee, 'USAGE'))));
    -- Each object has a number of its own, which is raised with every change of it, here and in setup.rs, so that
    -- `migrate` replaces what is older. An object with a higher number serves all older versions too.
    COMMENT ON POLICY mana_ai_missions_only ON public.sync_changes IS 'mana-ai access 3';
END $$;

-- The views, made by the role that owns them. The schema's owner drops the old ones, and lets it.
DO $$ DECLARE admin text := current_user;
BEGIN
    SET LOCAL ROLE mana_ai;
    IF substring(obj_description(to_regclass('mana_ai.mission_changes'), 'pg_class') FROM '^mana-ai access (\d+)$')::int > 1 THEN
        EXECUTE format('SET LOCAL ROLE %I', admin);
        RETURN;
    END IF;
    DROP VIEW IF EXISTS mana_ai.mission_changes;
    SET LOCAL ROLE mana_ai_reader;
    -- The fields of mana_ai.mission_fields below, with a row unpacked for each of them: replicas of an older version ask this one.
    CREATE VIEW mana_ai.mission_changes AS
    SELECT id, user_id, record_id, op, created_at, schema_version,
        ARRAY[data -> 'state', data -> 'nextRunAt', data -> 'deletedAt', data -> 'createdAt', data -> 'updatedAt']
            AS field_values,
        ARRAY[{clocks} -> 'state', {clocks} -> 'nextRunAt', {clocks} -> 'deletedAt',
              {clocks} -> 'createdAt', {clocks} -> 'updatedAt'] AS field_times
    FROM public.sync_changes
    WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
    COMMENT ON VIEW mana_ai.mission_changes IS 'mana-ai access 1';
    GRANT SELECT ON mana_ai.mission_changes TO mana_ai;
    EXECUTE format('SET LOCAL ROLE %I', admin);
END $$;
DO $$ DECLARE admin text := current_user;
BEGIN
    SET LOCAL ROLE mana_ai;
    IF substring(obj_description(to_regclass('mana_ai.mission_fields'), 'pg_class') FROM '^mana-ai access (\d+)$')::int > 1 THEN
        EXECUTE format('SET LOCAL ROLE %I', admin);
        RETURN;
    END IF;
    DROP VIEW IF EXISTS mana_ai.mission_fields;
    SET LOCAL ROLE mana_ai_reader;
    -- Of a mission only what decides when it is due. The arrays hold, in this order: state, nextRunAt,
    -- deletedAt, createdAt, updatedAt; SQL's NULL for a field that a row does not have. Arrays of plain
    -- lookups, since aggregating an object per row costs four times as much. `#> '{}'` unpacks once what each lookup
    -- would unpack again, and OFFSET 0 keeps it one; a query of its own, so that a row is unpacked only where it is asked for.
    CREATE VIEW mana_ai.mission_fields AS
    SELECT id, user_id, record_id, op, created_at, schema_version,
        (SELECT ARRAY[unpacked -> 'state', unpacked -> 'nextRunAt', unpacked -> 'deletedAt', unpacked -> 'createdAt',
                unpacked -> 'updatedAt']
            FROM (SELECT data #> '{}' AS unpacked OFFSET 0) AS row_data) AS field_values,
        ARRAY[{clocks} -> 'state', {clocks} -> 'nextRunAt', {clocks} -> 'deletedAt',
              {clocks} -> 'createdAt', {clocks} -> 'updatedAt'] AS field_times
    FROM public.sync_changes
    -- Ids are UUIDs. One that is too long for an index of ours must not stop the refresh of all others.
    WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
    COMMENT ON VIEW mana_ai.mission_fields IS 'mana-ai access 1';
    GRANT SELECT ON mana_ai.mission_fields TO mana_ai;
    EXECUTE format('SET LOCAL ROLE %I', admin);
END $$;
DO $$ DECLARE admin text := current_user;
BEGIN
    SET LOCAL ROLE mana_ai;
    IF substring(obj_description(to_regclass('mana_ai.mission_keys'), 'pg_class') FROM '^mana-ai access (\d+)$')::int > 1 THEN
        EXECUTE format('SET LOCAL ROLE %I', admin);
        RETURN;
    END IF;
    DROP VIEW IF EXISTS mana_ai.mission_keys;
    SET LOCAL ROLE mana_ai_reader;
    -- Who wrote which row when: the keys alone, so that asking unpacks no data. A view of its own, so that a replica of an
    -- older version finds the other one as it knows it.
    CREATE VIEW mana_ai.mission_keys AS
    SELECT id, user_id, record_id, created_at, client_id = 'mana-ai-runner' AS ours
    FROM public.sync_changes
    WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
    COMMENT ON VIEW mana_ai.mission_keys IS 'mana-ai access 1';
    GRANT SELECT ON mana_ai.mission_keys TO mana_ai;
    EXECUTE format('SET LOCAL ROLE %I', admin);
END $$;
DO $$ DECLARE admin text := current_user;
BEGIN
    SET LOCAL ROLE mana_ai;
    IF substring(obj_description(to_regclass('mana_ai.mission_writers'), 'pg_class') FROM '^mana-ai access (\d+)$')::int > 1 THEN
        EXECUTE format('SET LOCAL ROLE %I', admin);
        RETURN;
    END IF;
    DROP VIEW IF EXISTS mana_ai.mission_writers;
    SET LOCAL ROLE mana_ai_reader;
    -- The same without the ids, for replicas of an older version, which ask this one.
    CREATE VIEW mana_ai.mission_writers AS
    SELECT user_id, record_id, created_at, client_id = 'mana-ai-runner' AS ours
    FROM public.sync_changes
    WHERE app_id = 'ai' AND table_name = 'aiMissions' AND octet_length(user_id) + octet_length(record_id) <= 1024;
    COMMENT ON VIEW mana_ai.mission_writers IS 'mana-ai access 1';
    GRANT SELECT ON mana_ai.mission_writers TO mana_ai;
    EXECUTE format('SET LOCAL ROLE %I', admin);
END $$;
