#!/usr/bin/env python3
"""Instructions that each row of benches/src/bin/instructions.rs takes for one operation.

usage: ci/instructions.py                  count every row
       ci/instructions.py ROW...           count these rows
       ci/instructions.py --check          compare with benches/instructions.txt; exit 1 if a row grew
       ci/instructions.py --write          store what was counted there
       ci/instructions.py --program=FILE   count with a program that was built before

Each row runs twice, the second time twice as often. The difference of the two counts is the cost of
the operations alone: start-up and the end of the process are the same in both runs. glibc is told to
use the same functions for memory on every processor.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "benches" / "instructions.txt"
# A row may grow by this factor.
BOUND = 1.03
# These spend a good part of theirs in the allocator, which depends on what was freed before.
BOUNDS = {"gather_10000": 1.06, "join_all_10000": 1.06, "echo_protocol_stream": 1.05}
# glibc chooses its memcpy by what the processor has, and where copies pass the caches by their size.
# The choice moves `gather_10000` by 2 %. So it is told that the processor has nothing special.
LACKING = ["AVX2", "AVX512F", "AVX512VL", "AVX_Fast_Unaligned_Load", "ERMS", "FSRM", "SSSE3", "SSE4_1"]
TUNABLES = ":".join(
    [
        "glibc.cpu.hwcaps=" + ",".join("-" + feature for feature in LACKING),
        "glibc.cpu.x86_non_temporal_threshold=0x10000000",
    ]
)


def build():
    subprocess.run(
        ["cargo", "build", "-q", "--profile", "bench", "-p", "asyncio-benches", "--bin", "instructions"],
        cwd=ROOT,
        check=True,
    )
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "instructions"


def compiler():
    version = subprocess.run(["rustc", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    return version.stdout.split()[1]


def count(program, row, times):
    """Instructions of a whole run."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, row, str(times)]
    environment = {**os.environ, "GLIBC_TUNABLES": TUNABLES}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode or not collected:
        sys.exit(f"{row} failed:\n{run.stderr}")
    return int(collected[1])


def measure(program, row, times, operations):
    """Instructions of one operation."""
    return (count(program, row, 2 * times) - count(program, row, times)) / (times * operations)


def stored():
    """The compiler that the table was made with, and its rows."""
    lines = TABLE.read_text().splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return lines[0].split()[-1], {name: float(value) for name, value in rows}


def main(arguments):
    given = [argument.removeprefix("--program=") for argument in arguments if argument.startswith("--program=")]
    program = given[0] if given else build()
    rows = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in rows.splitlines()]
    named = [argument for argument in arguments if not argument.startswith("--")]
    rows = [row for row in rows if not named or row[0] in named]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        work = lambda row: measure(program, row[0], int(row[1]), int(row[2]))
        counts = dict(zip((row[0] for row in rows), threads.map(work, rows)))

    version, before = stored() if TABLE.exists() else ("none", {})
    grown = []
    for name, value in counts.items():
        line = f"{name:24} {value:10.1f}"
        if name in before:
            line += f"  {(value / before[name] - 1) * 100:+6.1f} %"
            if value > before[name] * BOUNDS.get(name, BOUND):
                grown.append(name)
        print(line)
    if "--write" in arguments:
        lines = [f"# Instructions for one operation, see ci/instructions.py; rustc {compiler()}"]
        lines += [f"{name} {value:.1f}" for name, value in {**before, **counts}.items()]
        TABLE.write_text("\n".join(lines) + "\n")
    if "--check" in arguments and grown:
        if version != compiler():
            print(f"not compared: the table is of rustc {version}, and this is {compiler()}")
        else:
            sys.exit(f"too many more instructions: {', '.join(grown)}")


main(sys.argv[1:])
