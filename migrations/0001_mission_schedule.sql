-- When each mission is due, and who is at it. Derived from sync_changes but for the lease: deleting it
-- all loses nothing. Only missions that have a slot, or that cannot be read, have a row; one whose slot
-- ended without another loses it at the next refresh.
CREATE TABLE mana_ai.mission_schedule (
    user_id      text        NOT NULL,
    mission_id   text        NOT NULL,
    next_run_at  timestamptz,                              -- the slot; null where unreadable
    unreadable   text,                                     -- why the log makes no mission
    change_count bigint      NOT NULL,                     -- rows folded: tells a new row from a re-read one
    not_before   timestamptz NOT NULL DEFAULT '-infinity', -- not claimed earlier; 'infinity': not before a new row
    waits        text,                                     -- why not
    lease_token  uuid,
    lease_until  timestamptz,                              -- by the clock of the database
    attempts     int         NOT NULL DEFAULT 0,           -- claims of this slot
    PRIMARY KEY (user_id, mission_id),
    CHECK (next_run_at IS NULL OR unreadable IS NULL),
    CHECK ((lease_token IS NULL) = (lease_until IS NULL))
);
-- Without the missions that wait for a new row: abandoned ones stay due for ever.
CREATE INDEX mission_schedule_due ON mana_ai.mission_schedule (next_run_at)
    WHERE next_run_at IS NOT NULL AND not_before < 'infinity';
CREATE INDEX mission_schedule_leased ON mana_ai.mission_schedule (user_id) WHERE lease_until IS NOT NULL;

-- How far the log has been folded into the schedule. At most one row.
CREATE TABLE mana_ai.refresh_cursor (
    singleton     boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    refreshed_at  timestamptz NOT NULL, -- changes that were visible then are folded
    reconciled_at timestamptz NOT NULL  -- when the whole log last was
);

-- A schedule that somebody emptied knows nothing, so a cursor beside it would be a lie. One that the refresh
-- emptied, mission by mission, knows that nothing is scheduled.
CREATE FUNCTION mana_ai.forget_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('mana_ai.refreshing', true) IS DISTINCT FROM 'on'
        AND NOT EXISTS (SELECT FROM mana_ai.mission_schedule) THEN
        DELETE FROM mana_ai.refresh_cursor;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_cursor AFTER DELETE OR TRUNCATE ON mana_ai.mission_schedule
    FOR EACH STATEMENT EXECUTE FUNCTION mana_ai.forget_cursor();
