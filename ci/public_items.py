"""Counts the public items of a crate, as rustdoc sees them, and the names at its root.

usage: public_items.py [--list] [--kinds] [CRATE]    CRATE is `asyncio` if it is left out
       public_items.py --max ITEMS NAMES            fails above these numbers

ITEMS is the number without those of the crates behind features: files, TLS, HTTP, monitor,
testing, tokio, quinn. `--kinds` counts by crate and kind. An item is a module, type, trait,
function, constant or macro that a path leads to, or one of a type's or trait's own public methods,
constants and types. Implementations of traits, fields and
variants do not count. An item that has several paths counts once. Needs a nightly toolchain.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "public-items"
# What a program without the modules behind features meets; the limits are about these.
FLOOR = ["asyncio-loop", "asyncio-task", "asyncio-sync", "asyncio-net", "asyncio-process"]
FLOOR += ["asyncio-macros", "asyncio"]
CRATES = FLOOR[:-1] + ["asyncio-fs", "asyncio-http", "asyncio-monitor", "asyncio-testing"]
CRATES += ["asyncio-quinn", "asyncio-tls", "asyncio-tokio", "asyncio"]


def rustdoc(crate):
    """The JSON that rustdoc writes for a crate."""
    command = ["cargo", "+nightly", "rustdoc", "-q", "-p", crate, "--lib", "--all-features"]
    command += ["--target-dir", str(TARGET)]
    command += ["--", "-Zunstable-options", "--output-format", "json", "--cap-lints", "allow"]
    subprocess.run(command, cwd=ROOT, check=True)
    path = TARGET / "doc" / (crate.replace("-", "_") + ".json")
    return json.loads(path.read_text())


class Items:
    """The public items of all crates, by their paths."""

    def __init__(self):
        self.crates = {crate.replace("-", "_"): rustdoc(crate) for crate in CRATES}
        # Items that `pub use` names are in the documentation of another crate, by their path.
        self.by_path = {}
        for name, crate in self.crates.items():
            for item, path in crate["paths"].items():
                if path["crate_id"] == 0:
                    self.by_path[tuple(path["path"]), path["kind"]] = (name, item)

    def find(self, crate, item):
        """The crate and id under which an item is described; None outside of the workspace."""
        if str(item) in self.crates[crate]["index"]:
            return crate, str(item)
        path = self.crates[crate]["paths"].get(str(item))
        return path and self.by_path.get((tuple(path["path"]), path["kind"]))

    def of_module(self, crate, module, seen):
        """The names in a module: (name, kind, crate, id), with the modules that it contains."""
        for child in self.crates[crate]["index"][module]["inner"]["module"]["items"]:
            entry = self.crates[crate]["index"].get(str(child))
            if entry is None or entry["visibility"] != "public":
                continue
            kind = next(iter(entry["inner"]))
            if kind != "use":
                yield entry["name"], kind, crate, str(child)
                continue
            use = entry["inner"]["use"]
            found = use["id"] is not None and self.find(crate, use["id"])
            if found and use["is_glob"]:
                yield from self.of_module(*found, seen)
            elif found:
                kind = next(iter(self.crates[found[0]]["index"][found[1]]["inner"]))
                yield use["name"], kind, *found
            else:
                yield use["name"], "foreign", crate, str(child)

    def methods(self, crate, item):
        """The public methods, constants and types of a type or trait."""
        index = self.crates[crate]["index"]
        kind, inner = next(iter(index[item]["inner"].items()))
        if kind == "trait":
            yield from (index[str(each)]["name"] for each in inner["items"])
        for implementation in inner.get("impls", []) if isinstance(inner, dict) else []:
            block = index[str(implementation)]["inner"]["impl"]
            if kind != "trait" and block["trait"] is None:
                members = (index.get(str(each)) for each in block["items"])
                yield from (m["name"] for m in members if m and m["visibility"] == "public")

    def walk(self, crate):
        """Every public item of a crate: (path, kind, crate it is from)."""
        seen, modules = set(), [("", str(self.crates[crate]["root"]), crate)]
        while modules:
            prefix, module, owner = modules.pop()
            for name, kind, origin, item in self.of_module(owner, module, seen):
                if (origin, item) in seen:
                    continue
                seen.add((origin, item))
                yield prefix + name, kind, origin
                if kind == "module":
                    modules.append((f"{prefix}{name}::", item, origin))
                elif kind != "foreign":
                    for method in self.methods(origin, item):
                        yield f"{prefix}{name}::{method}", f"of a {kind}", origin


def root_names(items, crate):
    root = str(items.crates[crate]["root"])
    names = {name for name, *_ in items.of_module(crate, root, set())}
    return sorted(names)


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--") and not word.isdigit()]
    limits = [int(word) for word in sys.argv[1:] if word.isdigit()]
    crate = (words or ["asyncio"])[0].replace("-", "_")
    items = Items()
    every, names = list(items.walk(crate)), root_names(items, crate)
    if "--list" in sys.argv:
        print("\n".join(sorted(path for path, *_ in every)))
    if "--kinds" in sys.argv:
        kinds = collections.Counter((origin, kind) for _, kind, origin in every)
        for (origin, kind), count in sorted(kinds.items()):
            print(f"{count:5}  {origin}: {kind}")
    by_crate = collections.Counter(origin for *_, origin in every)
    for origin, count in sorted(by_crate.items()):
        print(f"{count:5}  from {origin}")
    floor = sum(by_crate[name.replace("-", "_")] for name in FLOOR)
    print(f"{len(every):5}  public items of {crate}")
    print(f"{floor:5}  of these without the crates behind features")
    print(f"{len(names):5}  names at its root")
    if limits and (floor > limits[0] or len(names) > limits[1]):
        sys.exit(f"more than {limits[0]} items, or than {limits[1]} names at the root")


main()
