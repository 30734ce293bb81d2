-- What mana-ai needs of a database: two roles without login, a schema, a view, policies, grants.
-- Every statement may be repeated. `mana-ai migrate` runs this where its login may create roles and
-- owns mana-sync's table; else it prints this for whoever may.
--
--   mana_ai_reader  owns the view, and may read missions of all users, but only through it.
--   mana_ai         what the service becomes in every transaction: the view, and of mana-sync's table
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

-- {log}

REVOKE CREATE ON SCHEMA mana_ai FROM mana_ai_reader;
DO $$ BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('REVOKE mana_ai_reader FROM %I', current_user);
    END IF;
END $$;
