"""Rules on the text of one file: width, length, head comment, banned calls, stray characters."""

import re

MAX_COLUMNS = 100
MAX_FILE_LINES = 800
HEAD_LINES = 3  # a shebang and a blank line may stand before the head comment

# (what is refused, where it is allowed, why). Patterns run on code without comments and literals.
BANNED = [
    (r"\bnew\s+[A-Za-z_:]", (), "raw new; own memory with a container or std::make_unique"),
    (r"\b(?:malloc|calloc|realloc)\s*\(", (), "C allocation; use a container or an arena"),
    (r"\b(?:fopen|freopen)\s*\(", (), "stdio files; use core/file.h, which reports errors"),
    (r"\b(?:printf|fprintf|puts|putchar)\s*\(|\bfmt::print\b|\bstd::(?:cout|cerr|clog)\b",
     ("src/cli/", "bench/", "tests/"), "printing belongs to src/cli"),
    (r"\b(?:s?rand)\s*\(|\bstd::(?:random_device|mt19937(?:_64)?)\b", ("tests/",),
     "hidden random state; use core/rng.h"),
    (r"\bassert\s*\(", (), "assert vanishes in release builds; throw a typed Error"),
    (r"\b(?:atoi|atol|atoll|atof|strcpy|strcat|sprintf|vsprintf|gets|strtok)\s*\(", (),
     "unchecked C function; use std::from_chars or fmt"),
    (r"\busing\s+namespace\s+std\b", (), "names of std pulled into scope"),
]
BANNED = [(re.compile(pattern), allowed, why) for pattern, allowed, why in BANNED]
# In pieces, lest the rule find itself.
UNOWNED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b(?!\([\w.@-]+\):? \S)")


def check_text(source):
    """Width, stray characters, length, unowned to-dos."""
    for number, line in enumerate(source.lines, 1):
        if len(line) > MAX_COLUMNS:
            yield from source.find(number, "width",
                                   f"{len(line)} columns; at most {MAX_COLUMNS}")
        if line != line.rstrip():
            yield from source.find(number, "whitespace", "trailing whitespace or carriage return")
        if "\t" in line:
            yield from source.find(number, "whitespace", "tab; indent with spaces")
        if line.startswith(("<<<<<<< ", ">>>>>>> ")):
            yield from source.find(number, "conflict", "merge conflict marker")
        if UNOWNED.search(line):
            yield from source.find(number, "todo",
                                   "to-do without an owner; write TO" "DO(name): condition")
    if source.data and not source.data.endswith(b"\n"):
        yield from source.find(len(source.lines), "whitespace", "no line break at the end of file")
    if len(source.lines) > MAX_FILE_LINES:
        yield from source.find(len(source.lines), "file-length",
                               f"{len(source.lines)} lines; at most {MAX_FILE_LINES}")


def check_head(source):
    """A file says at its head what lives in it; headers are guarded by #pragma once.

    A .cc file that opens with a header of its own folder is introduced there; CMake lists speak for
    themselves.
    """
    marks = ("//", "/*") if source.is_cpp else ("#", '"""')
    head = [line for line in source.lines[:HEAD_LINES] if line and not line.startswith("#!")]
    own_folder = source.path.partition("/")[2].rpartition("/")[0]
    introduced = (source.path.endswith("CMakeLists.txt") or not source.lines
                  or (head and head[0].startswith(marks + (f'#include "{own_folder}/',))))
    if not introduced:
        yield from source.find(1, "head", "no comment at the head that says what lives here")
    if source.path.endswith(".h") and "#pragma once" not in source.code_lines:
        yield from source.find(1, "head", "header without #pragma once")


def check_banned(source):
    if not source.is_cpp:
        return
    for pattern, allowed, why in BANNED:
        if source.path.startswith(allowed):
            continue
        for match in pattern.finditer(source.code):
            line = source.code.count("\n", 0, match.start()) + 1
            yield from source.find(line, "banned", f"'{match.group().strip()}': {why}")
