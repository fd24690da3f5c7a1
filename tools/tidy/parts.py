"""The rule on include direction: a part includes itself and what it depends on, nothing else.

Allowed are the parts that `outsize_part(name DEPENDS ...)` in src/NAME/CMakeLists.txt names, and
theirs in turn. Parts that depend on each other are reported too.
"""

import re

from source import Finding

PART = re.compile(r"outsize_part\(\s*(\w+)([^)]*)\)")
INCLUDE = re.compile(r'^[ ]*#[ ]*include[ ]*(["<])([^">]+)[">]')
KEYWORDS = ("DEPENDS", "LIBRARIES", "FOLDERS")


def read_parts(sources):
    """Part -> the parts it names under DEPENDS, from the CMake files below src/."""
    parts = {}
    for source in sources:
        if re.fullmatch(r"src/.+/CMakeLists\.txt", source.path):
            text = re.sub(r"#[^\n]*", "", source.text)
            for match in PART.finditer(text):
                parts[match.group(1)] = depends_of(match.group(2).split())
    return parts


def depends_of(words):
    keyword, depends = None, []
    for word in words:
        if word in KEYWORDS:
            keyword = word
        elif keyword == "DEPENDS":
            depends.append(word)
    return depends


def reachable(parts, part):
    """The part itself, what it depends on, and theirs in turn."""
    seen, waiting = set(), [part]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += parts.get(name, [])
    return seen


def check_parts(sources):
    """Runs on all files at once: the direction is a property of the tree."""
    parts = read_parts(sources)
    for part, depends in sorted(parts.items()):
        path = f"src/{part}/CMakeLists.txt"
        for name in depends:
            if name not in parts:
                yield Finding(path, 1, "parts", f"depends on '{name}', which is no part")
            elif part in reachable(parts, name):
                yield Finding(path, 1, "parts", f"'{part}' and '{name}' depend on each other")
    headers = {source.path for source in sources}
    for source in sources:
        if source.is_cpp and source.path.startswith("src/"):
            yield from check_includes(source, parts, headers)


def check_includes(source, parts, headers):
    own = source.path.split("/")[1]
    allowed = reachable(parts, own)
    for number, line in enumerate(source.lines, 1):
        match = INCLUDE.match(line)
        if not match or match.group(1) == "<":
            continue
        name = match.group(2)
        other = name.split("/")[0]
        if name.endswith(".inc"):
            continue  # lists that CMake or the part itself makes
        if "/" not in name or f"src/{name}" not in headers:
            yield from source.find(number, "include",
                                   f'"{name}" is no file below src/; write the path from there')
        elif other not in allowed:
            yield from source.find(number, "include", f"part '{own}' does not depend on '{other}'; "
                                   f"its CMakeLists.txt allows {', '.join(sorted(allowed))}")
