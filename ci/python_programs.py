"""Runs every Python program of the Markdown files that are named."""

import pathlib
import re
import subprocess
import sys

PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def main():
    if sys.version_info < (3, 11):
        print("skipped: task groups came with Python 3.11")
        return 0
    failed = 0
    for name in sys.argv[1:]:
        text = pathlib.Path(name).read_text()
        for match in PROGRAM.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            run = [sys.executable, "-W", "error", "-c", match[1]]
            if subprocess.run(run, stdin=subprocess.DEVNULL, timeout=300).returncode:
                print(f"{name}:{line}: the program failed")
                failed += 1
    return min(failed, 1)


sys.exit(main())
