#!/usr/bin/env python3
"""Names the ninja targets that tests need, so that a sanitizer build holds nothing that nobody runs.

usage: targets.py FOLDER with|without SUITE [SUITE …]     prints the targets of the tests in some, or none, of these
"""
import json
import os
import subprocess
import sys


def main():
    if len(sys.argv) < 4 or sys.argv[2] not in ("with", "without"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder, wanted, named = os.path.abspath(sys.argv[1]), sys.argv[2] == "with", set(sys.argv[3:])
    tests, targets = (json.loads(subprocess.run(["meson", "introspect", what, folder], check=True, capture_output=True).stdout)
                      for what in ("--tests", "--targets"))
    made = {target["id"]: target["filename"] for target in targets}
    needed = set()
    for test in tests:
        # A suite is named PROJECT:SUITE.
        if bool(named & {suite.split(":")[-1] for suite in test["suite"]}) == wanted:
            for target in test["depends"]:
                needed.update(made[target])
    print("\n".join(sorted(os.path.relpath(name, folder) for name in needed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
