#!/usr/bin/env bash
# What must pass of web/: the build with its sizes, the unit tests, and the browser tests against the stand-in in
# TypeScript, and those of the pipeline against `mana-ai demo` too. Says NOT RUN where node or Chromium cannot be had. Leaves nothing behind but
# what .gitignore names. MANA_AI_BIN: a binary that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

not_run() {
    printf '\n*** NOT RUN: %s ***\n\n' "$*" >&2
    exit 0
}
installs() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }
install() { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }

node_fits() {
    command -v npm >/dev/null \
        && node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}
if ! node_fits && installs; then install nodejs npm || true; fi
node_fits || not_run "the tests of web/, there is no node 20.19 or newer with npm"

timeout 600 npm ci --no-audit --no-fund || not_run "the tests of web/, npm ci failed: no registry?"
timeout 600 npm test
timeout 300 npm run build

# Only programs: a function of this name would find itself.
find_chromium() { type -P chromium || type -P chromium-browser || type -P google-chrome; }
CHROMIUM="${CHROMIUM:-$(find_chromium || true)}"
if [ -z "$CHROMIUM" ] && installs; then
    install chromium || true
    CHROMIUM="$(find_chromium || true)"
fi
[ -n "$CHROMIUM" ] || not_run "the browser tests of web/, there is no Chromium; set CHROMIUM to one"
export CHROMIUM

echo "-- the page against the stand-in in TypeScript"
# One retry: a browser on a busy machine can miss a wait of seconds.
timeout 900 npx vitest run --project browser --retry 1

echo "-- the page against mana-ai"
bin="${MANA_AI_BIN:-}"
if [ -z "$bin" ]; then
    cargo build --locked --manifest-path ../Cargo.toml
    target="${CARGO_TARGET_DIR:-../target}"
    bin="$target/debug/mana-ai"
fi
log="$(mktemp)"
"$bin" demo --keep --web dist >"$log" 2>&1 &
demo=$!

# It stops its database too. By its id, for others may run a demo on this machine.
end() {
    kill -INT "$demo" 2>/dev/null || true
    for _ in $(seq 100); do
        kill -0 "$demo" 2>/dev/null || break
        sleep 0.2
    done
    kill -KILL "$demo" 2>/dev/null || true
    rm -f "$log"
}
trap end EXIT

# A database that has to be downloaded takes a while.
url=
for _ in $(seq 300); do
    url="$(sed -n 's|.*The inbox.*\(http://127[0-9.:]*\).*|\1|p' "$log")"
    if [ -n "$url" ] || ! kill -0 "$demo" 2>/dev/null; then break; fi
    sleep 1
done
if [ -z "$url" ]; then
    cat "$log" >&2
    echo "mana-ai demo serves no page" >&2
    exit 1
fi
# The pipeline alone: what concerns only the page was tested above.
MANA_DEMO_URL="$url" timeout 900 npx vitest run --project browser --retry 1 test/browser/inbox.test.ts
