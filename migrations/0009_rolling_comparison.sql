-- How far the comparison of the whole log with the schedule has come. It goes through the missions in the order of their
-- ids, a slice at a time, in whichever replica has the time; a restart goes on where it was.
ALTER TABLE mana_ai.refresh_cursor
    ADD COLUMN comparison_began_at timestamptz,                 -- null between two comparisons
    ADD COLUMN compared_up_to      text,                        -- the last mission id compared; null before the first
    ADD COLUMN compared_rows       bigint NOT NULL DEFAULT 0;   -- rows of the log read for it so far
COMMENT ON COLUMN mana_ai.refresh_cursor.reconciled_at IS 'when the last comparison that came to its end began';

-- A slice is a range of mission ids: what the log no longer has of it is found by these.
CREATE INDEX mission_schedule_by_mission ON mana_ai.mission_schedule (mission_id);
CREATE INDEX mission_healing_by_mission ON mana_ai.mission_healing (mission_id);
