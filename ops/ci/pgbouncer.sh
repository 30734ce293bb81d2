#!/usr/bin/env bash
# Prints the path of a PgBouncer for the tests: the one on PATH, else Debian's, unpacked into the target folder. Of the
# package only the program, for no server is to run here. Exits with 1 where there is none.
set -euo pipefail
cd "$(dirname "$0")/../.."

if command -v pgbouncer; then exit 0; fi
if [ -x /usr/sbin/pgbouncer ]; then echo /usr/sbin/pgbouncer; exit 0; fi

mkdir -p "${CARGO_TARGET_DIR:-target}"
folder="$(cd "${CARGO_TARGET_DIR:-target}" && pwd)/pgbouncer"
if [ ! -x "$folder/pgbouncer" ]; then
    command -v apt-get >/dev/null || exit 1
    mkdir -p "$folder"
    {
        cd "$folder"
        if [ "$(id -u)" = 0 ]; then apt-get update -qq; fi
        apt-get download -qq pgbouncer libc-ares2 libevent-2.1-7
        for package in ./*.deb; do dpkg-deb -x "$package" .; done
        rm -f ./*.deb
        # It finds the libraries that came with it.
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s/usr/sbin/pgbouncer" "$@"\n' \
            "$(dirname "$(find "$folder" -name 'libcares.so.2')")" "$folder" >pgbouncer
        chmod +x pgbouncer
        # A test that runs as root has it run as nobody.
        chmod -R a+rX "$folder"
    } >&2
fi
"$folder/pgbouncer" --version >&2 || exit 1
echo "$folder/pgbouncer"
