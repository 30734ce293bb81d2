-- For CALLS_PER_USER_PER_DAY. An older replica leaves the column at 0; whether such an attempt called is in latency_ms.
ALTER TABLE mana_ai.mission_runs
    ADD COLUMN calls int NOT NULL DEFAULT 0; -- of mana-llm; while it runs: those that it was allowed to begin
-- What a user's attempts of the last day have called.
CREATE INDEX mission_runs_of_user ON mana_ai.mission_runs (user_id, started_at);
