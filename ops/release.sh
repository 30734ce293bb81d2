#!/bin/sh
# Builds the binary of the image: the same bytes from the same commit, toolchain and C library, in whatever
# directory. The Dockerfile runs it; run it yourself to compare.
set -eu
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
# Where sources lie is part of every panic message, unless it is given another name.
# crt-static: the image holds no C library. Procedural macros cannot be built so; --target keeps them apart.
RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/src"
RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
export RUSTFLAGS CARGO_INCREMENTAL=0

cargo build --release --locked --no-default-features --target "$host" "$@"

binary=${CARGO_TARGET_DIR:-target}/$host/release/mana-ai
ls -l "$binary"
sha256sum "$binary"
