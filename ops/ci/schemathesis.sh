#!/usr/bin/env bash
# Asks a running service everything that its OpenAPI description allows, and much that it does not: every answer
# must be one that the description names. About a minute, beside the build. Arguments go to schemathesis, such as
# --seed 1 or --max-examples 1000.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Raise it with a look at what it finds.
version=4.32.5
tools=target/tools/schemathesis-$version
log=target/tools/schemathesis-demo.log

if ! command -v python3 >/dev/null; then
    printf 'SKIPPED: the OpenAPI description was not tested, there is no python3\n' >&2
    exit 0
fi

# Only once it is whole: a try that was cut off is repeated.
if [ ! -e "$tools/complete" ]; then
    rm -rf "$tools" && mkdir -p target/tools
    # Debian has the module that makes environments in a package of its own.
    if ! python3 -m venv "$tools" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv
        rm -rf "$tools" && python3 -m venv "$tools"
    fi
    timeout 300 "$tools/bin/python" -m pip install --quiet "schemathesis==$version"
    touch "$tools/complete"
fi

bin=${MANA_AI_BIN:-}
if [ -z "$bin" ]; then
    cargo build --locked
    bin=${CARGO_TARGET_DIR:-target}/debug/mana-ai
fi

export MANA_SERVICE_KEY=schemathesis
"$bin" demo --keep >"$log" 2>&1 &
demo=$!

# It stops its database too. By its id, for others may run a demo on this machine.
end() {
    kill -INT "$demo" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$demo" 2>/dev/null || return 0
        sleep 0.2
    done
    kill -KILL "$demo" 2>/dev/null || true
}
trap end EXIT

# The last line that it prints. A database that has to be downloaded takes a while.
for _ in $(seq 300); do
    if grep -q -- '-- inspect --user' "$log" || ! kill -0 "$demo" 2>/dev/null; then break; fi
    sleep 1
done
url=$(sed -n 's|.*curl -s \(http://[0-9.:]*\)/health.*|\1|p' "$log")
if [ -z "$url" ]; then
    cat "$log" >&2
    printf 'there is no service to ask\n' >&2
    exit 1
fi

timeout 600 "$tools/bin/schemathesis" --config-file ops/ci/schemathesis.toml run "$url/internal/openapi.json" "$@"
