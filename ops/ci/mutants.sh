#!/usr/bin/env bash
# Mutation tests of src/domain and src/planner: cargo-mutants changes one place of the code at a time, and a test of
# tests/it/domain or tests/it/planner has to fail. docs/testing.md explains the changes that no test can find.
#
# The two rooms, and src/inputs that the second one reads, are pure. So they and their tests fit into a crate of their own
# under target/mutants: it builds in seconds, and needs no database. The tests of src/inputs need one, so it is not changed.
# Arguments go to cargo-mutants: `bash ops/ci/mutants.sh -f healing.rs` for one file.
set -euo pipefail
cd "$(dirname "$0")/../.."

crate=target/mutants/crate
# Its target folder stays: the dependencies are built once.
rm -rf "$crate/src" "$crate/tests"
mkdir -p "$crate/src" "$crate/tests/it"
cp -r src/domain src/inputs src/planner "$crate/src/"
cp -r tests/it/domain tests/it/planner "$crate/tests/it/"
cp -r tests/vectors tests/contract "$crate/tests/"
printf '//! The pure rooms.\npub mod domain;\npub mod inputs;\npub mod planner;\n' >"$crate/src/lib.rs"
printf 'mod domain;\nmod planner;\n' >"$crate/tests/it/main.rs"
# The fuzz targets read answers of mana-llm too, which is another room's work.
sed -i '/mod fuzz;/d' "$crate/tests/it/domain/mod.rs"
# A number of cases that stands in a test would win against PROPTEST_CASES below.
sed -i 's/ProptestConfig::with_cases([0-9_]*)/ProptestConfig::default()/' "$crate"/tests/it/*/*.rs
cp Cargo.lock "$crate/"
{
    printf '[package]\nname = "mana-ai"\nversion = "0.0.0"\nedition = "2024"\n\n[features]\ndemo = []\n\n[dependencies]\n'
    sed -n '/^\[dependencies\]/,/^\[/p' Cargo.toml \
        | grep -E '^(croner|indexmap|jiff|serde|serde_json|strum|thiserror|utoipa|uuid) ='
    printf '\n[dev-dependencies]\n'
    grep -E '^proptest =' Cargo.toml
    printf '\n[workspace]\n[profile.dev]\ndebug = false\nopt-level = 1\n'
} >"$crate/Cargo.toml"

if ! command -v cargo-mutants >/dev/null; then
    cargo install --quiet cargo-mutants --version 27.1.0 --locked --root target/tools
    PATH="$PWD/target/tools/bin:$PATH"
fi
# Few cases of each property: what they find they find early, and a mutant that lives costs all of them.
export PROPTEST_CASES="${PROPTEST_CASES:-32}"
cargo mutants --in-place --dir "$crate" --output target/mutants --timeout 120 --exclude 'src/inputs/**' "$@"
