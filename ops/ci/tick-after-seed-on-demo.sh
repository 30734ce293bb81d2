#!/usr/bin/env bash
# Runs tick-after-seed.sh against a real service, a real Postgres and the stand-in LLM, so that docs/ci.md stays true.
#
# Where psql or curl is missing, root installs them with apt-get. Where that is impossible this script says NOT RUN and
# ends with exit code 0, so that the rest can be tested on such a machine; with CI=true it ends with exit code 1.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Debian keeps a server's programs beside psql where no package puts them on PATH.
for dir in /usr/lib/postgresql/*/bin; do PATH=$PATH:$dir; done

missing() {
    for program in psql curl; do command -v "$program" >/dev/null || printf '%s ' "$program"; done
}
if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # A failure is no end here: what is still missing is told below.
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-client curl; } || true
fi
missing=$(missing)
if [ -n "$missing" ]; then
    printf '\n!!!! NOT RUN: ops/ci/tick-after-seed.sh was NOT TESTED, this machine has no %s!!!!\n\n' "$missing" >&2
    if [ "${CI:-}" = true ]; then exit 1; fi
    exit 0
fi

. ops/ci/demo.sh
start_demo "${CARGO_TARGET_DIR:-target}/tmp/tick-after-seed-demo.log"
export DATABASE_URL=$demo_database MANA_AI_URL=$demo_url
timeout 360 bash ops/ci/tick-after-seed.sh

# The script must be able to fail: with a wrong key there is no tick.
if MANA_SERVICE_KEY=wrong timeout 360 bash ops/ci/tick-after-seed.sh 2>/dev/null; then
    printf 'FAILED: the script passed without a tick\n' >&2
    exit 1
fi
