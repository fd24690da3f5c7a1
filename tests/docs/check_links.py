#!/usr/bin/env python3
"""Checks the documents: check_links.py ROOT

Links between files must lead somewhere, links within a page must meet a heading, and paths of this
repository that stand in `code` must exist. Prints `file:line: message` for every breach.
"""

import pathlib
import re
import sys

FOLDERS = ("src", "docs", "tests", "tools", "scripts", "examples", "bench", "cmake")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\s]+)`")
PATH = re.compile(r"(?:%s)/[\w./-]+$" % "|".join(FOLDERS))
PROSE_PATH = re.compile(r"(?<![\w/`-])docs/\w+\.md")


def anchor(heading):
    """The name GitHub gives a heading."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def lines_outside_blocks(path):
    """Yields (number, line) without fenced code blocks."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def headings(path):
    return {anchor(line.lstrip("#")) for _, line in lines_outside_blocks(path)
            if line.startswith("#")}


def check_link(page, target, root):
    if re.match(r"[a-z]+:", target):
        return None  # another site: not asked from here
    path, _, name = target.partition("#")
    file = page if not path else page.parent / path
    if not file.exists():
        return f"link to '{target}' leads nowhere"
    if name and name not in headings(file):
        return f"link to '{target}': no such heading"
    return None


def check_page(page, root):
    for number, line in lines_outside_blocks(page):
        problems = [check_link(page, target, root) for target in LINK.findall(line)]
        paths = [code for code in CODE.findall(line) if PATH.match(code)]
        paths += PROSE_PATH.findall(line)
        problems += [f"'{path}' does not exist" for path in paths if not (root / path).exists()]
        yield from ((number, problem) for problem in problems if problem)


def main():
    root = pathlib.Path(sys.argv[1])
    pages = sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")])
    found = [(page.relative_to(root), *problem) for page in pages
             for problem in check_page(page, root)]
    for page, number, problem in found:
        print(f"{page}:{number}: {problem}")
    print(f"documents: {len(pages)} read, {len(found)} problems")
    sys.exit(1 if found or not pages else 0)


if __name__ == "__main__":
    main()
