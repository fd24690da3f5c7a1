"""A source file as the tidy rules see it: lines, code without comments and strings, allowances.

Shared by all rules so that each file is read and stripped once.
"""

import dataclasses
import functools
import pathlib
import re
import subprocess

CPP = (".h", ".cc", ".cu")
CHECKED = CPP + (".py", ".sh", ".cmake")

# A raw string, a comment, a string or a character literal, whichever starts first. A quote between
# digits (1'000) is no literal.
LITERALS = re.compile(
    r'R"([^\s()\\]{0,16})\((?:.|\n)*?\)\1"|//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\(?:.|\n)|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.[^'\n]*|[^'\\\n])'")


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


class Source:
    """One file. `path` is relative to the repository root, with forward slashes."""

    def __init__(self, path, data):
        self.path = path
        self.data = data
        self.text = data.decode("utf-8", errors="replace")
        self.lines = self.text.split("\n")
        if self.lines and not self.lines[-1]:
            self.lines.pop()

    @property
    def is_cpp(self):
        return self.path.endswith(CPP)

    @functools.cached_property
    def code(self):
        """C++ text with comments and literals blanked; line breaks stay, so lines still count."""
        return LITERALS.sub(lambda match: blank(match.group()), self.text)

    @functools.cached_property
    def code_lines(self):
        return self.code.split("\n")

    def allows(self, line, rule):
        """True where this line or the one above says `tidy: allow RULE: reason`."""
        mark = re.compile(rf"tidy: allow {re.escape(rule)}: \S")
        return any(mark.search(text) for text in self.lines[max(line - 2, 0):line])

    def find(self, line, rule, message):
        """The finding, or nothing where the source allows it."""
        return [] if self.allows(line, rule) else [Finding(self.path, line, rule, message)]


def blank(literal):
    if literal.startswith("/"):
        return re.sub(r"[^\n]", " ", literal)
    return literal[0] + re.sub(r"[^\n]", " ", literal[1:-1]) + literal[-1]


def list_files(root):
    """Paths of the files that git tracks or would add, relative to root."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
    else:  # not a checkout: a source archive
        names = [str(path.relative_to(root)) for path in pathlib.Path(root).rglob("*")]
    return sorted(name for name in set(names) if (pathlib.Path(root) / name).is_file())


def load(root, paths=None):
    names = [name for name in paths or list_files(root)
             if name.endswith(CHECKED) or pathlib.PurePath(name).name == "CMakeLists.txt"]
    return [Source(name, (pathlib.Path(root) / name).read_bytes()) for name in names]
