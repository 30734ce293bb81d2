-- The processes that work on this database, as each said after its last tick.
CREATE TABLE mana_ai.replicas (
    id         uuid        PRIMARY KEY, -- as in mission_runs
    version    text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    breaker    text,                    -- why mana-llm is not called; null where it is
    last_tick  jsonb       NOT NULL     -- its counts, without the texts of its errors
);

-- While there is a row, nobody claims a mission. At most one.
CREATE TABLE mana_ai.pause (
    singleton boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
