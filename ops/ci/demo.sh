# Sourced by the scripts beside it: a running service with a real Postgres and the stand-in LLM, from `mana-ai demo
# --keep`. Run in the repository's directory.
#
# start_demo LOG   starts it and waits until it is up; sets demo_url (the service), demo_database (its Postgres) and
#                  exports MANA_SERVICE_KEY. The process ends with the script.

bin=${MANA_AI_BIN:-}
if [ -z "$bin" ]; then
    cargo build --locked
    bin=${CARGO_TARGET_DIR:-target}/debug/mana-ai
fi

# Stops the demo, and so its database. By its process id, because another demo may run on this machine.
end_demo() {
    kill -INT "$demo_pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        kill -0 "$demo_pid" 2>/dev/null || return 0
        sleep 0.2
    done
    kill -KILL "$demo_pid" 2>/dev/null || true
}

start_demo() {
    local log=$1
    mkdir -p "$(dirname "$log")"
    export MANA_SERVICE_KEY=${MANA_SERVICE_KEY:-ci-service-key}
    "$bin" demo --keep >"$log" 2>&1 &
    demo_pid=$!
    trap end_demo EXIT
    # Waits for the last line that the demo prints. Where a Postgres has to be downloaded first, that takes a while.
    for _ in $(seq 300); do
        if grep -q -- '-- inspect --user' "$log" || ! kill -0 "$demo_pid" 2>/dev/null; then break; fi
        sleep 1
    done
    demo_url=$(sed -n 's|.*curl -s \(http://[0-9.:]*\)/health.*|\1|p' "$log")
    demo_database=$(sed -n "s|.*DATABASE_URL='\([^']*\)'.*|\1|p" "$log")
    if [ -z "$demo_url" ] || [ -z "$demo_database" ]; then
        cat "$log" >&2
        printf 'the demo did not start\n' >&2
        exit 1
    fi
}
