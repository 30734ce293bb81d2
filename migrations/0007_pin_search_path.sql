-- The trigger also fires in sessions of others than the service. What it calls are Postgres' own functions, whatever
-- path the session has.
ALTER FUNCTION mana_ai.forget_cursor() SET search_path = pg_catalog, pg_temp;
