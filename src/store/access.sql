-- What mana-ai needs of a database: two roles without login, a schema, views, policies, grants.
-- Every statement may be repeated. `mana-ai migrate` runs this where its login may create roles and
-- owns mana-sync's table; else it prints this for whoever may.
--
--   mana_ai_reader  owns the views, and may read missions of all users, but only through them.
--   mana_ai         what the service becomes in every transaction: the views, and of mana-sync's table
--                   whatever row security shows to the user that the transaction set.

-- Where others may create in a schema of the path, a function of theirs could run here in the place of Postgres' own.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Roles belong to the whole cluster: another database's migration may create them at this moment.
DO $$ BEGIN
    IF to_regrole('mana_ai_reader') IS NULL THEN CREATE ROLE mana_ai_reader NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
    IF to_regrole('mana_ai') IS NULL THEN CREATE ROLE mana_ai NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

-- Objects are made by becoming their owner, so whoever runs this needs to be able to: from PostgreSQL 16 on that is an
-- option of a membership.
DO $$ DECLARE
    is_16 boolean := current_setting('server_version_num')::int >= 160000;
    own text;
BEGIN
    FOREACH own IN ARRAY ARRAY['mana_ai', 'mana_ai_reader'] LOOP
        IF NOT pg_has_role(current_user, own, CASE WHEN is_16 THEN 'SET' ELSE 'MEMBER' END) THEN
            EXECUTE format('GRANT %I TO %I', own, current_user)
                || CASE WHEN is_16 THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
        END IF;
    END LOOP;
END $$;

-- The login of the service.
-- {to_serve}
DO $$ DECLARE admin text := current_user;
BEGIN
    IF to_regnamespace('mana_ai') IS NULL THEN
        CREATE SCHEMA mana_ai AUTHORIZATION mana_ai;
    ELSIF (SELECT nspowner FROM pg_namespace WHERE nspname = 'mana_ai') <> to_regrole('mana_ai') THEN
        ALTER SCHEMA mana_ai OWNER TO mana_ai;
    END IF;
    SET LOCAL ROLE mana_ai;
    GRANT USAGE, CREATE ON SCHEMA mana_ai TO mana_ai, mana_ai_reader;
    EXECUTE format('SET LOCAL ROLE %I', admin);
END $$;

-- {log}

DO {quote} DECLARE
    admin text := current_user;
    is_16 boolean := current_setting('server_version_num')::int >= 160000;
BEGIN
    SET LOCAL ROLE mana_ai;
    REVOKE CREATE ON SCHEMA mana_ai FROM mana_ai_reader;
    -- The names alone: a version before this one looks them up as the login itself.
    GRANT USAGE ON SCHEMA mana_ai TO {login};
    EXECUTE format('SET LOCAL ROLE %I', admin);
    -- Nobody stays in the role that sees missions of all users, but whom another role than this one put there.
    IF EXISTS (SELECT FROM pg_auth_members WHERE roleid = to_regrole('mana_ai_reader')
               AND member = to_regrole(quote_ident(admin)) AND (grantor = member OR NOT is_16)) THEN
        EXECUTE format('REVOKE mana_ai_reader FROM %I', admin);
    END IF;
END {quote};
