#!/usr/bin/env python3
"""Counts the test cases that meson ran; the last line is the verdict.

usage: count_tests.py REPORT …     FOLDER/meson-logs/LOGBASE of each run, without the endings
"""
import itertools
import json
import pathlib
import sys
import xml.etree.ElementTree


def reason(case, said):
    """In one line, why a case failed: what its report says, or the last remark behind its line of TAP."""
    message = case.find("failure").get("message", "") if case.find("failure") is not None else ""
    if not message:
        behind = said.partition(f"not ok {case.get('name')}\n")[2]
        remarks = [line[1:].strip() for line in itertools.takewhile(lambda line: line.startswith("#"), behind.splitlines())]
        message = next((remark for remark in reversed(remarks) if remark), "")
    line = " ".join(message.split())
    return f": {line[:400]}" if line else ""


def count(name):
    """(passed, failed, skipped, names of the failed) from meson's JUnit report; no report is a failure."""
    report, folder = pathlib.Path(f"{name}.junit.xml"), name.split("/")[0]
    if not report.exists():
        return 0, 1, 0, [f"{folder}: meson wrote no report"]
    passed = failed = skipped = 0
    names = []
    for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
        cases = list(suite.iter("testcase"))
        if not cases and int(suite.get("failures", 0)) + int(suite.get("errors", 0)):
            failed += 1
            names.append(f"{folder}: {suite.get('name')}")
        bad_in_suite = 0
        said = suite.findtext("system-out") or ""
        for case in cases:
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                bad_in_suite += 1
                names.append(f"{folder}: {suite.get('name')}: {case.get('name')}{reason(case, said)}")
            elif case.find("skipped") is not None:
                skipped += 1
            else:
                passed += 1
        # A program that crashed after its last case, or before its report, fails as a whole.
        if bad_in_suite == 0 and int(suite.get("failures", 0)) + int(suite.get("errors", 0)) > 0 and cases:
            failed += 1
            names.append(f"{folder}: {suite.get('name')} (exit status)")
    return passed, failed, skipped, names


def not_ok(name):
    """Names in meson's own list of results: a program that died between two cases is only there."""
    log = pathlib.Path(f"{name}.json")
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [test["name"] for test in results if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP")]


def main():
    passed = failed = skipped = 0
    for report in sys.argv[1:]:
        p, f, s, names = count(report)
        unseen = [test for test in not_ok(report) if not any(test in name for name in names)]
        f += len(unseen)
        names += [f"{report}: {test} (ended without saying which case)" for test in unseen]
        for name in names:
            print("FAILED", name)
        print(f"{report}: {p} passed, {f} failed, {s} skipped")
        passed, failed, skipped = passed + p, failed + f, skipped + s
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
