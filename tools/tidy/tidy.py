#!/usr/bin/env python3
"""Checks the house rules on the source tree: python3 tools/tidy/tidy.py [options] [FILE...]

Prints `file:line: rule: message` for every breach, then how many files passed and failed; the exit
status is 1 if any failed. A breach that has a reason is allowed on its line or the line above with
`tidy: allow RULE: reason`. Rules: include direction between parts, 100 columns, file and function
length, banned calls, head comments, owned to-dos, clang-format, and on request clang-tidy.
"""

import argparse
import os
import pathlib
import sys

import clang
import functions
import parts
import source
import text_rules

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_RULES = (text_rules.check_text, text_rules.check_head, text_rules.check_banned,
              functions.check_functions)


def default_cache():
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("OUTSIZE_CACHE") or pathlib.Path(home) / "outsize")


def check(root, options):
    """All findings on the tree below root, and how many files were looked at."""
    tree = source.load(root)
    chosen = [item for item in tree if not options.files or item.path in options.files]
    named = {item.path for item in chosen}
    findings = []
    try:
        if options.clang_tidy:
            findings += clang.check_clang_tidy(root, tree, named, options.clang_tidy,
                                               default_cache() / "clang-tidy")
        else:
            findings += [found for item in chosen for rule in FILE_RULES for found in rule(item)]
            findings += [finding for finding in parts.check_parts(tree) if finding.path in named]
            findings += clang.check_format(root, chosen) if options.format else []
    except clang.MissingTool as error:
        findings.append(source.Finding("tools/tidy/tidy.py", 1, "tool", str(error)))
    return sorted(set(findings), key=lambda item: (item.path, item.line, item.rule)), len(chosen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE",
                        help="check these only, as paths from the root")
    parser.add_argument("--root", type=pathlib.Path, default=ROOT)
    parser.add_argument("--no-format", dest="format", action="store_false",
                        help="leave clang-format out")
    parser.add_argument("--clang-tidy", metavar="BUILD",
                        help="only clang-tidy, on src/, with the commands of this build folder")
    options = parser.parse_args()
    findings, count = check(options.root, options)
    for finding in findings:
        print(finding)
    failed = len({finding.path for finding in findings})
    print(f"tidy: {max(count - failed, 0)} passed, {failed} failed")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
