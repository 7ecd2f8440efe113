#!/usr/bin/env python3
"""Names the ninja targets that tests need, so that a sanitizer build holds nothing that nobody runs.

usage: targets.py FOLDER SUITE [SUITE …]     prints the targets of the tests in none of these suites
"""
import json
import os
import subprocess
import sys


def main():
    if len(sys.argv) < 3:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    folder, without = os.path.abspath(sys.argv[1]), set(sys.argv[2:])
    tests, targets = (json.loads(subprocess.run(["meson", "introspect", what, folder], check=True, capture_output=True).stdout)
                      for what in ("--tests", "--targets"))
    made = {target["id"]: target["filename"] for target in targets}
    needed = set()
    for test in tests:
        # A suite is named PROJECT:SUITE.
        if not without & {suite.split(":")[-1] for suite in test["suite"]}:
            for target in test["depends"]:
                needed.update(made[target])
    print("\n".join(sorted(os.path.relpath(name, folder) for name in needed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
