#!/usr/bin/env bash
# The rows of docs/BENCHMARKS.md in which peers are close, in one run on one machine: tasks, awaits
# under `join_all`, near and far deadlines, memory, growth with numbers, and what a hello world costs
# to build. Times of the first three have the quartiles of their rounds beside them. Prints Markdown.
# The machine must do nothing else.
#
#   benches/fair_table.sh > table.md
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build -q --release -p asyncio-benches --bin memory --bin growth --bin busy
cargo bench -q -p asyncio-benches --no-run --bench kernel --bench tasks --bench timers

echo "<!-- $(date -u +%F), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(rustc --version) -->"
for area in kernel tasks timers; do
    cargo bench -q -p asyncio-benches --bench "$area" -- --table
done
cargo run -q --release -p asyncio-benches --bin memory
echo
cargo run -q --release -p asyncio-benches --bin growth
echo
cargo run -q --release -p asyncio-benches --bin busy
echo
echo '```text'
benches/build_time.sh
echo '```'
