"""Checks that links in Markdown files lead to a file, and to a heading if they name one."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def markdown_files():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def prose(file):
    return FENCE.sub("", file.read_text())


def anchors(file):
    """The anchors a renderer gives the headings of a file."""
    headings = (re.sub(r"[`*_]", "", heading) for heading in HEADING.findall(prose(file)))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def problem(file, link):
    if re.match(r"[a-z]+:", link):
        return None  # elsewhere: not ours to keep
    path, _, anchor = link.partition("#")
    target = (file.parent / path).resolve() if path else file
    if not target.exists():
        return "no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "no such heading"
    return None


def main():
    problems = 0
    for file in markdown_files():
        for match in LINK.finditer(CODE.sub("", prose(file))):
            link = match[1] or match[2]
            reason = problem(file, link)
            if reason:
                problems += 1
                print(f"{file.relative_to(ROOT)}: {link}: {reason}")
    sys.exit(problems > 0)


main()
