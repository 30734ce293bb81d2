#!/usr/bin/env bash
# Seeds one mission, asks a running mana-ai for one tick, and checks its answer and the row that it wrote. For a CI
# that tests against a service and a database of its own; see docs/ci.md.
#
#   DATABASE_URL      the Postgres of mana-sync, as a login that may insert into sync_changes
#   MANA_AI_URL       the service, such as http://localhost:3066
#   MANA_SERVICE_KEY  its key
#
# Needs psql and curl. Postgres reads the JSON of the answer, so neither jq nor python3 is needed.
set -euo pipefail
: "${DATABASE_URL:?}" "${MANA_AI_URL:?}" "${MANA_SERVICE_KEY:?}"

user=ci-user
# New for each run: the log keeps the mission of the last one.
mission=ci-mission-$(date +%s)-$$

# $1: JSON for :'answer'. The SQL comes from standard input. Row security asks for the user of each session.
sql() {
    PGOPTIONS="-c app.current_user_id=$user" PGCONNECT_TIMEOUT=10 psql "$DATABASE_URL" -XqAt -v ON_ERROR_STOP=1 \
        -v user="$user" -v mission="$mission" -v answer="${1:-null}"
}

# 1. Seed: a mission that has been due for a minute. Its cadence is manual, so it is planned once and never again.
sql <<'SQL'
WITH iso AS (
    SELECT to_char((now() - interval '1 minute') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS due
)
INSERT INTO sync_changes (app_id, table_name, record_id, user_id, op, data, field_timestamps, client_id)
SELECT 'ai', 'aiMissions', :'mission', :'user', 'insert', jsonb_build_object(
    'createdAt', due, 'updatedAt', due, 'title', 'Balkon', 'objective', 'Im Sommer Tomaten ernten',
    'conceptMarkdown', 'Kleine Schritte.', 'inputs', '[]'::jsonb, 'iterations', '[]'::jsonb,
    'cadence', jsonb_build_object('kind', 'manual'), 'state', 'active', 'nextRunAt', due
), '{}', 'ci-seed'
FROM iso;
SQL

# 2. One tick. It answers when nothing is due any more. The key is read from standard input, so that the list of
# processes does not show it.
answer=$(printf 'X-Service-Key: %s\n' "$MANA_SERVICE_KEY" |
    curl -sS --fail --max-time 300 -X POST -H @- "$MANA_AI_URL/internal/tick?wait=true")
printf 'the tick answered %s\n' "$answer"

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    exit 1
}

# 3. The answer: at least one mission was due, its plan is in the log, and nothing went wrong.
[ "$(sql "$answer" <<'SQL'
SELECT (answer ->> 'dueMissionCount')::int >= 1 AND (answer ->> 'plansWrittenBack')::int >= 1
    AND answer -> 'errors' = '[]'
FROM CAST(:'answer' AS jsonb) AS answer;
SQL
)" = t ] || fail "this is not the answer of a tick that planned the mission without an error"

# 4. The row: exactly one, by the runner, with one iteration of the server and no next run.
[ "$(sql <<'SQL'
SELECT count(*) = 1 AND bool_and(
    op = 'update' AND jsonb_array_length(data -> 'iterations') = 1
    AND data #>> '{iterations,0,source}' = 'server' AND data -> 'nextRunAt' = 'null'
)
FROM sync_changes
WHERE app_id = 'ai' AND table_name = 'aiMissions' AND client_id = 'mana-ai-runner'
    AND user_id = :'user' AND record_id = :'mission';
SQL
)" = t ] || fail "sync_changes has no such row of mission $mission"

printf 'mission %s was seeded, planned and written back\n' "$mission"
