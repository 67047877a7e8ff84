"""Checks that no line of Rust or of Markdown is wider than the project's 100 columns.

Tables, links, and lines that are a single word cannot be broken, and may be wider.

usage: lines.py [--count] [PATH ...]
       --count  only how many there are in each file
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH = 100
# What stands before the text of a comment, of a list or of a quotation.
LEAD = re.compile(r"^\s*(//[/!]?|[-*>#]|\d+\.)?\s*")
LINK = re.compile(r"^(\[[^\]]*\](: \S+|\(\S+\))[.,;:]?|<\S+>|\S+)$")


def listed(paths):
    run = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *(paths or ["*.rs", "*.md"])],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    names = (name for name in run.stdout.splitlines() if name.endswith((".rs", ".md")))
    return [ROOT / name for name in names if (ROOT / name).exists()]


def may_be_wide(line):
    text = LEAD.sub("", line)
    return text.startswith("|") or LINK.match(text) is not None


def wide_lines(file):
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if len(line) > WIDTH and not may_be_wide(line):
            yield number, line


def main():
    paths = [path for path in sys.argv[1:] if path != "--count"]
    total = 0
    for file in listed(paths):
        lines = list(wide_lines(file))
        total += len(lines)
        name = file.relative_to(ROOT)
        if lines and "--count" in sys.argv:
            print(f"{len(lines):5} {name}")
        elif lines:
            print("\n".join(f"{name}:{number}: {len(line)} columns" for number, line in lines))
    print(f"{total} lines are wider than {WIDTH} columns")
    sys.exit(total > 0)


main()
