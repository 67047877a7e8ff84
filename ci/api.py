#!/usr/bin/env python3
"""What has changed in the public interface of the crates since another revision.

  ci/api.py v0.1.0      lines that went away (-) or are new (+) since the tag v0.1.0
  ci/api.py --list      every line of today

A line is the declaration of an item, a method, an implementation or an associated type, with its
path. A line that went away, or that was changed, breaks programs. Exits with 1 if there is one, and
cargo takes the version of today where that of the revision is asked for.

A new line breaks nothing, with two exceptions that a person has to look for: a method that
implementors of a trait have to write, and a variant of an enum that is not `non_exhaustive`.

Read from the pages that `cargo doc` writes, so no nightly toolchain is needed. Those of the other
revision come from a checkout in the target folder, by the same compiler. It takes minutes.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from html.parser import HTMLParser

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
# Kinds of pages that an index links to.
KINDS = ("struct", "enum", "union", "trait", "fn", "macro", "attr", "derive", "constant", "static",
         "type")


class Page(HTMLParser):
    """Links of an index, re-exports, and the declarations of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.exports, self.headers, self.declaration = [], [], [], ""
        self.section = ()
        # What the text that comes belongs to, and the tag that ends it.
        self.sink, self.until, self.skipped = None, None, 0
        self.rest = self.summary = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        name = attributes.get("id") or ""
        # What every type has, and what the pages of the types list as well.
        if name in ("blanket-implementations", "implementors"):
            self.rest = True
        if tag == "a" and "href" in attributes and classes:
            href = attributes["href"]
            kind = classes[0]
            if kind == "mod" and href.endswith("/index.html") and href.count("/") == 1:
                self.links.append(("mod", href))
            elif kind in KINDS and "/" not in href and "#" not in href:
                self.links.append((kind, href))
        if tag == "section":
            self.section = tuple(classes)
        if tag == "summary" and self.sink is not None:
            self.summary = True
        if tag in ("dt", "li", "div") and name.startswith("reexport."):
            self.start("export", tag)
        elif tag == "pre" and "item-decl" in classes and not self.declaration:
            self.start("declaration", tag)
        elif tag in ("h3", "h4") and "code-header" in classes and not self.rest:
            self.start("header", tag)

    def start(self, what, tag):
        self.sink, self.until, self.text = what, tag, []

    def handle_data(self, data):
        if self.sink is not None and not self.summary:
            self.text.append(data)

    def handle_endtag(self, tag):
        if tag == "summary":
            self.summary = False
        if self.sink is None or tag != self.until:
            return
        text = " ".join("".join(self.text).split())
        if self.sink == "declaration":
            self.declaration = text
        elif self.sink == "export":
            self.exports.append(text)
        elif not ("trait-impl" in self.section and "method" in self.section):
            self.headers.append((self.section[:1], text))
        self.sink = None


def lines_of(crate, pages):
    """Every line of a crate's interface."""
    found, seen, waiting = set(), set(), [(crate, pages / crate / "index.html")]
    while waiting:
        path, index = waiting.pop()
        page = Page(index.read_text())
        found.update(f"{path}: {export}" for export in page.exports)
        for kind, href in page.links:
            target = (index.parent / href).resolve()
            if target in seen or not target.exists():
                continue
            seen.add(target)
            if kind == "mod":
                name = f"{path}::{href.split('/')[0]}"
                found.add(f"{name}: mod")
                waiting.append((name, target))
            else:
                found.update(lines_of_item(path, href, Page(target.read_text())))
    return found


def lines_of_item(path, href, page):
    name = f"{path}::{href.split('.')[1]}"
    declaration = page.declaration
    if href.startswith("trait."):
        declaration = re.sub(r"\s*\{.*", "", declaration)
    yield f"{name}: {declaration}"
    for _, header in page.headers:
        # Traits that types have by themselves, and that no program asks for.
        if re.match(r"impl(<.*>)? !?(Freeze|UnsafeUnpin|(Ref)?UnwindSafe)\b", header):
            continue
        yield f"{name}: {re.sub(r'where ', ' where ', header)}".replace("  ", " ")


def interface(folder, target):
    """The version of a checkout, and the lines of its crates, after documenting them."""
    command = ["cargo", "doc", "--quiet", "--workspace", "--all-features", "--no-deps"]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_DEV_DEBUG": "0"}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    manifest = (folder / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.*)"', manifest, re.MULTILINE).group(1)
    crates = sorted(crate.name.replace("-", "_") for crate in (folder / "crates").iterdir())
    pages = target / "doc"
    # A program has no pages that others build on.
    crates = [crate for crate in crates if (pages / crate / "index.html").exists()]
    return version, set().union(*(lines_of(crate, pages) for crate in crates))


def interface_of(revision):
    """The same, of a revision."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        return interface(pathlib.Path(folder), TARGET / "api")


def compatible(old, new):
    """Whether cargo takes `new` where `old` is asked for."""

    def key(text):
        numbers = [int(number) for number in text.split("-")[0].split(".")]
        first = next((at for at, number in enumerate(numbers) if number), len(numbers) - 1)
        return numbers[: first + 1]

    return key(old) == key(new)


def main():
    arguments = sys.argv[1:]
    if len(arguments) != 1 or arguments[0].startswith("--") and arguments != ["--list"]:
        sys.exit(__doc__)
    version, lines = interface(ROOT, TARGET)
    if arguments == ["--list"]:
        print("\n".join(sorted(lines)))
        return
    old_version, old = interface_of(arguments[0])
    gone, new = sorted(old - lines), sorted(lines - old)
    print("\n".join([f"- {line}" for line in gone] + [f"+ {line}" for line in new]))
    print(f"{len(gone)} of {len(old)} lines went away, {len(new)} are new", file=sys.stderr)
    if gone and compatible(old_version, version):
        sys.exit(f"cargo takes {version} where {old_version} is asked for: raise the version")


if __name__ == "__main__":
    main()
