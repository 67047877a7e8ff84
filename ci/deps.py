#!/usr/bin/env python3
"""Checks what the published crates are built from.

  ci/deps.py           fails on a licence, a source or a duplicate that is not listed here
  ci/deps.py --list    every dependency with its version and licence

Counted are the dependencies of programs: tests, examples and benches may use others.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict

# Terms that a program under MIT or Apache-2.0 can be shipped with.
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

# Crates of which programs on Linux may get two versions, each with the reason.
DUPLICATES = {
    "cpufeatures": "sha1 (of tungstenite) still uses 0.2, chacha20 (of quinn's rand) 0.3",
    "getrandom": "ring still uses 0.2",
    "miniz_oxide": "backtrace still uses 0.8",
    "rand": "tungstenite still uses 0.9, quinn 0.10",
    "rand_core": "as rand",
}

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
TARGET = "x86_64-unknown-linux-gnu"


def metadata():
    command = ["cargo", "metadata", "--format-version=1", "--all-features"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def published(data):
    """The packages that the crates of the workspace need, on any system."""
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    members = [id for id in data["workspace_members"] if packages[id]["publish"] is None]
    found, waiting = set(), list(members)
    while waiting:
        id = waiting.pop()
        if id in found:
            continue
        found.add(id)
        for edge in nodes[id]["deps"]:
            if any(kind["kind"] != "dev" for kind in edge["dep_kinds"]):
                waiting.append(edge["pkg"])
    return [packages[id] for id in sorted(found)], set(members)


def is_allowed(expression):
    """Whether an SPDX expression can be met: one side of an OR, both of an AND."""
    text = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", text)

    def either():
        result = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        token = tokens.pop(0)
        if token != "(":
            return re.sub(r"\s+", " ", token) in ALLOWED
        result = either()
        tokens.pop(0)
        return result

    return either()


def problems_of(packages, members):
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        if not licence:
            yield f"{name}: no licence"
        elif not is_allowed(licence):
            yield f"{name}: the licence {licence} is not among the allowed ones"
        if package["id"] not in members and package["source"] != REGISTRY:
            yield f"{name}: comes from {package['source']}, which crates.io does not accept"
        if package["id"] in members:
            for field in ("description", "license", "readme", "rust_version"):
                if not package[field]:
                    yield f"{name}: its manifest has no {field}"
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and dependency["kind"] != "dev":
                    yield f"{name}: {dependency['name']} has no version, and cannot be published"


def duplicates():
    """Names with several versions in one program on Linux."""
    command = ["cargo", "tree", "--workspace", "--exclude", "asyncio-benches", "--exclude",
               "asyncio-examples", "--all-features", "--edges", "normal", "--target", TARGET,
               "--prefix", "none", "--format", "{p}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    versions = defaultdict(set)
    for line in lines:
        if line:
            name, version = line.split()[:2]
            versions[name].add(version)
    return {name: sorted(found) for name, found in versions.items() if len(found) > 1}


def main():
    packages, members = published(metadata())
    if "--list" in sys.argv[1:]:
        for package in packages:
            print(f"{package['name']} {package['version']}  {package['license']}")
        return
    problems = list(problems_of(packages, members))
    found = duplicates()
    for name, versions in sorted(found.items()):
        if name not in DUPLICATES:
            problems.append(f"{name} is there as {', '.join(versions)}")
    for name in sorted(set(DUPLICATES) - set(found)):
        problems.append(f"{name} is there once: its line in DUPLICATES can go")
    print("\n".join(problems) or f"{len(packages)} packages: licences, sources and versions fit")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
