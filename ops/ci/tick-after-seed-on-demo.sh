#!/usr/bin/env bash
# Runs tick-after-seed.sh against a real service, a real Postgres and the stand-in LLM, so that docs/ci.md stays true.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Debian keeps a server's programs beside psql where no package puts them on PATH.
for dir in /usr/lib/postgresql/*/bin; do PATH=$PATH:$dir; done
for program in psql curl; do
    if ! command -v "$program" >/dev/null; then
        printf 'NOT RUN: ops/ci/tick-after-seed.sh was not tested, there is no %s\n' "$program" >&2
        exit 0
    fi
done

. ops/ci/demo.sh
start_demo "${CARGO_TARGET_DIR:-target}/tmp/tick-after-seed-demo.log"
export DATABASE_URL=$demo_database MANA_AI_URL=$demo_url
timeout 360 bash ops/ci/tick-after-seed.sh

# The script must be able to fail: with a wrong key there is no tick.
if MANA_SERVICE_KEY=wrong timeout 360 bash ops/ci/tick-after-seed.sh 2>/dev/null; then
    printf 'FAILED: the script passed without a tick\n' >&2
    exit 1
fi
