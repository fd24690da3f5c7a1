#!/usr/bin/env python3
"""Adds up JUnit files: `count_results.py FILE...` prints `N passed, M failed, K skipped`.

Exits with 1 if anything failed or nothing passed. `--note-failure NAME FILE` writes a file with one
failed case, for a step that has no runner of its own.
"""

import sys
import xml.etree.ElementTree as ElementTree


def outcome(case):
    """Of one test case; CTest notes what did not run as a status, pytest as a child element."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    status = case.get("status", "run")
    if status == "fail":
        return "failed"
    if case.find("skipped") is not None or status in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def count(paths):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for path in paths:
        for case in ElementTree.parse(path).iter("testcase"):
            counts[outcome(case)] += 1
    return counts


def note_failure(name, path):
    suite = ElementTree.Element("testsuite", name=name, tests="1", failures="1")
    case = ElementTree.SubElement(suite, "testcase", name=name)
    ElementTree.SubElement(case, "failure", message="see the output")
    ElementTree.ElementTree(suite).write(path)


def main():
    if sys.argv[1:2] == ["--note-failure"]:
        note_failure(*sys.argv[2:4])
        return
    counts = count(sys.argv[1:])
    print(", ".join(f"{number} {kind}" for kind, number in counts.items()))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
