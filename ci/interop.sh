#!/usr/bin/env bash
# Runs interop/: crates of the ecosystem against PostgreSQL, Redis, Mosquitto and NATS, and the
# table of docs/ECOSYSTEM.md against what came of it. Ends with 77 where servers are not installed.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-$PWD/target}/interop"
# Of the programs, without building them.
limit=600

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
    echo "skipped: these packages are missing:$missing; .ci/run installs them"
    exit 77
fi
has nats-server || echo "no nats-server: the job queue over NATS is skipped"

cd interop
cargo fmt --check
cargo test --target-dir "$target" --no-run
timeout "$limit" cargo test --target-dir "$target"
