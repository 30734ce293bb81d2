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

. ops/ci/demo.sh
start_demo "$log"

timeout 600 "$tools/bin/schemathesis" --config-file ops/ci/schemathesis.toml run "$demo_url/internal/openapi.json" "$@"
