"""Which test holds which row of the behaviour catalogue (docs/behaviours).

usage: rows.py [AREA ...]     each row, with the tests that name it and the line of PORTING.md
       rows.py --open [AREA]  only the rows that have neither
       rows.py --check        a summary; fails if a row is named that is not in the catalogue

AREA is a page of docs/behaviours without its ending, such as `queues`.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "docs/behaviours"
PORTING = ROOT / "docs/PORTING.md"
ROW = re.compile(r"^\| *([A-Z]-\d{3}) *\| *(.*?) *\|", re.MULTILINE)
NAMED = re.compile(r"(?<![\w-])([A-Z]-\d{3})(?![\w-])")


def files(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def catalogue():
    """The rows of each area, as (id, behaviour)."""
    return {page.stem: ROW.findall(page.read_text()) for page in sorted(CATALOGUE.glob("*.md"))}


def names(file):
    """The ids a file names, as (id, file:line)."""
    for number, line in enumerate(file.read_text().splitlines(), 1):
        for row in NAMED.findall(line):
            yield row, f"{file.relative_to(ROOT)}:{number}"


def tests_begin_at(file):
    """The line from which a Rust file is test code; None if there is none."""
    if "tests" in file.parent.relative_to(ROOT).parts or file.stem.endswith("tests"):
        return 1
    lines = file.read_text().splitlines()
    return next((n for n, line in enumerate(lines, 1) if "#[cfg(test)]" in line), None)


def tests():
    """The places in tests that name each row."""
    places = {}
    for file in files("*.rs"):
        start = tests_begin_at(file)
        for row, place in names(file) if start else ():
            if int(place.rpartition(":")[2]) >= start:
                places.setdefault(row, []).append(place)
    return places


def porting():
    """The places in PORTING.md that name each row."""
    places = {}
    for row, place in names(PORTING):
        places.setdefault(row, []).append(place)
    return places


def unknown(rows):
    """The places that name a row that does not exist."""
    known = {row for area in rows.values() for row, _ in area}
    pages = (file for file in files("*.rs", "*.md") if file.parent != CATALOGUE)
    return [f"{place}: {row}" for file in pages for row, place in names(file) if row not in known]


def twice(rows):
    """The ids that the catalogue gives to more than one row."""
    ids = [row for area in rows.values() for row, _ in area]
    return sorted({row for row in ids if ids.count(row) > 1})


def print_rows(rows, held, explained, only_open):
    for area in rows:
        for row, behaviour in rows[area]:
            places = held.get(row, []) + explained.get(row, [])
            if only_open and places:
                continue
            print(f"{row}  {behaviour}")
            for place in places or ["open"]:
                print(f"       {place}")


def print_summary(rows, held, explained):
    print(f"{'area':36} {'rows':>5} {'tests':>6} {'PORTING':>8} {'open':>5}")
    totals = [0, 0, 0, 0]
    for area, listed in rows.items():
        ids = {row for row, _ in listed}
        tested, told = ids & held.keys(), ids & explained.keys()
        counts = [len(ids), len(tested), len(told - tested), len(ids - tested - told)]
        totals = [total + count for total, count in zip(totals, counts)]
        if ids:
            print_counts(area, counts)
    print_counts("all", totals)


def print_counts(area, counts):
    print("{:36} {:5} {:6} {:8} {:5}".format(area, *counts))


def main():
    areas = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    rows, held, explained = catalogue(), tests(), porting()
    if "--check" not in sys.argv:
        chosen = {area: rows[area] for area in areas or rows}
        return print_rows(chosen, held, explained, "--open" in sys.argv)
    print_summary(rows, held, explained)
    problems = [f"{row}: two rows have this id" for row in twice(rows)]
    problems += [f"{place}: no such row" for place in unknown(rows)]
    print("\n".join(problems))
    sys.exit(len(problems) > 0)


main()
