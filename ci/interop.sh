#!/usr/bin/env bash
# Runs interop/: crates of the ecosystem against PostgreSQL, Redis and Mosquitto, and the table of
# docs/ECOSYSTEM.md against what came of it. Ends with 77 where the servers cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}/interop"
# Building the crates takes most of it: 8 minutes on two processors.
limit=900

# Debian has daemons outside of the usual PATH.
has() {
    local folder
    for folder in ${PATH//:/ } /usr/sbin /usr/lib/postgresql/*/bin; do
        [ ! -x "$folder/$1" ] || return 0
    done
    return 1
}

# command:package
missing=""
for tool in postgres:postgresql redis-server:redis-server mosquitto:mosquitto; do
    has "${tool%%:*}" || missing="$missing ${tool#*:}"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "skipped: no$missing, and no apt-get to install them with as root"
        exit 77
    fi
    apt-get update -qq
    # shellcheck disable=SC2086 # one word per package
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi

cd interop
cargo fmt --check
timeout "$limit" cargo test --target-dir "$target"
