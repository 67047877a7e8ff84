#!/usr/bin/env bash
# The rows of docs/BENCHMARKS.md in which peers are close, in one run on one machine: tasks, awaits
# under `join_all`, near and far deadlines, memory, growth with numbers, latency beside busy tasks,
# and what a hello world costs to build. Times of the first three have the quartiles of their rounds
# beside them. Prints Markdown. The machine must do nothing else.
#
#   benches/fair_table.sh > table.md
#
# The first tables have every peer, and are built by benches/peers, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build -q --release -p asyncio-benches --bin growth --bin busy
(
    cd benches/peers
    cargo build -q --release --bins
    cargo bench -q --no-run
)

echo "<!-- $(date -u +%F), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(rustc --version) -->"
(
    cd benches/peers
    for area in kernel tasks timers; do
        cargo bench -q --bench "$area" -- --table
    done
    cargo run -q --release --bin memory
    echo
    cargo run -q --release --bin lateness
)
echo
cargo run -q --release -p asyncio-benches --bin growth -- --million
echo
cargo run -q --release -p asyncio-benches --bin busy
echo
echo '```text'
benches/build_time.sh
echo '```'
