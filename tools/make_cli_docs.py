#!/usr/bin/env python3
"""Puts the program's own help into docs/CLI.md: make_cli_docs.py [--check] [PROGRAM]

Every block after a line `<!-- help: COMMAND -->` is replaced by what `outsize COMMAND --help`
prints; the words around the blocks are written by hand. With --check nothing is written, and the
exit status is 1 when a block is stale, or when the program has a command without a block.
PROGRAM: build/release/src/cli/outsize unless given.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "CLI.md"
BLOCK = re.compile(r"<!-- help: ([a-z ]*) -->\n```text\n(.*?)```\n", re.DOTALL)
# `train` and `plan` repeat the whole of docs/CONFIG.md from here on.
CONFIG_HELP = "Options of the configuration file"


def help_of(program, command):
    """The help text as the program prints it where it is called by its bare name."""
    arguments = ["outsize", *command.split(), "--help"]
    text = subprocess.run(arguments, executable=program, check=True, capture_output=True,
                          text=True).stdout
    text = text.partition(CONFIG_HELP)[0]
    return "".join(line.rstrip() + "\n" for line in text.strip().splitlines())


def subcommands(help_text):
    """Names under `Subcommands:`."""
    _, _, listed = help_text.partition("Subcommands:\n")
    return re.findall(r"^  ([a-z]+)\b", listed, re.MULTILINE)


def all_commands(program):
    """Every command that does something, with its help; the program itself is ''."""
    found, waiting = {}, [""]
    while waiting:
        command = waiting.pop(0)
        text = found[command] = help_of(program, command)
        waiting += [f"{command} {name}".strip() for name in subcommands(text)]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", nargs="?", type=pathlib.Path,
                        default=ROOT / "build/release/src/cli/outsize")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    known = all_commands(str(options.program.resolve()))
    old = PAGE.read_text(encoding="utf-8")
    shown = [match.group(1).strip() for match in BLOCK.finditer(old)]
    problems = [f"docs/CLI.md has a block for '{name}', which is no command"
                for name in shown if name not in known]
    problems += [f"docs/CLI.md has no block for 'outsize {name}'"
                 for name in known if name not in shown]
    if problems:
        sys.exit("\n".join(problems))
    new = BLOCK.sub(lambda match: f"<!-- help: {match.group(1)} -->\n```text\n"
                    f"{known[match.group(1).strip()]}```\n", old)
    if not options.check:
        PAGE.write_text(new, encoding="utf-8")
    elif new != old:
        sys.exit("docs/CLI.md is stale; run tools/make_cli_docs.py")
    print(f"docs/CLI.md: {len(shown)} commands")


if __name__ == "__main__":
    main()
