-- Missions whose log has a row of a device beside rows of ours: such a row may have hidden a plan or feedback, so we
-- look at it once. A row stays after the look, for whoever asks what was healed. Losing the table loses that, and
-- makes us look at each of these missions once more.
CREATE TABLE mana_ai.mission_healing (
    user_id       text        NOT NULL,
    mission_id    text        NOT NULL,
    change_count  bigint      NOT NULL,           -- rows of the log when the refresh last noticed one of a device
    checked_count bigint      NOT NULL DEFAULT 0, -- rows of the log at our last look; a look is due while it is smaller
    in_a_row      int         NOT NULL DEFAULT 0, -- healing rows since a look last found nothing lost
    healing_rows  bigint      NOT NULL DEFAULT 0, -- all of them
    iterations    bigint      NOT NULL DEFAULT 0, -- restored by all of them: whole iterations,
    feedback      bigint      NOT NULL DEFAULT 0, -- texts of userFeedback,
    statuses      bigint      NOT NULL DEFAULT 0, -- statuses and summaries,
    proposals     bigint      NOT NULL DEFAULT 0, -- ids of proposals
    healed_at     timestamptz,                    -- the last healing row
    problem       text,                           -- why the last look did not restore what is lost
    PRIMARY KEY (user_id, mission_id)
);
CREATE INDEX mission_healing_due ON mana_ai.mission_healing (user_id, mission_id) WHERE checked_count < change_count;
