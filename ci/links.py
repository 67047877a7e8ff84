"""Checks that links in Markdown files lead to a file, and to a heading if they name one.

usage: links.py                 the Markdown files of the repository
       links.py --html FOLDER   the pages that mdBook has written there
"""

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


def html_problems(folder):
    """The links that lead nowhere, of pages made from Markdown."""
    pages = {page: page.read_text() for page in folder.rglob("*.html")}
    ids = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
    for page, text in pages.items():
        if page.name in ("print.html", "toc.html", "404.html"):
            continue  # made from the other pages, with links of their own
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists():
                yield page, link, "no such file"
            elif anchor and target in ids and anchor not in ids[target]:
                yield page, link, "no such heading"


def main():
    problems = 0
    if sys.argv[1:2] == ["--html"]:
        for page, link, reason in html_problems(pathlib.Path(sys.argv[2]).resolve()):
            problems += 1
            print(f"{page.name}: {link}: {reason}")
        sys.exit(problems > 0)
    for file in markdown_files():
        for match in LINK.finditer(CODE.sub("", prose(file))):
            link = match[1] or match[2]
            reason = problem(file, link)
            if reason:
                problems += 1
                print(f"{file.relative_to(ROOT)}: {link}: {reason}")
    sys.exit(problems > 0)


main()
