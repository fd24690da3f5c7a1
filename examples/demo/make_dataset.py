#!/usr/bin/env python3
"""Makes the demo's data set from Debian's own package index: name and description -> section.

Each row is {"prompt": "Package: NAME\\nDescription: TEXT\\nSection:", "completion": " SECTION"}.
Binary packages built from one source have nearly the same description, so train and held-out rows
are split by source package. The order is that of a hash of the name: rows of every section are
mixed, and the same index gives the same files on every machine. Needs apt's package lists
(`apt-get update`) and nothing beyond Python's standard library.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

APT_HELPER = "/usr/lib/apt/apt-helper"
HELD_OUT_PERCENT = 5  # of the source packages: more rows than the two held-out files use
ROWS_PER_HELD_OUT_SOURCE = 3  # else one compiler's dozens of near-equal packages weigh too much


def fraction_of(text):
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def index_files():
    """The package lists of Debian's releases; updates and security are left out, as they change."""
    command = ["apt-get", "indextargets", "--format", "$(CODENAME) $(FILENAME)",
               "Created-By: Packages", "Origin: Debian"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    targets = [line.split(" ", 1) for line in listed.splitlines()]
    return sorted(name for codename, name in targets
                  if not codename.endswith(("-updates", "-security", "-backports"))
                  and os.path.exists(name))


def stanzas(lines):
    """Yields each stanza as a dict of its one-line fields; continuation lines are skipped."""
    fields = {}
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields = {}
        elif not line[0].isspace():
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    if fields:
        yield fields


def read_packages(files):
    """Name -> (source, description, section), from the index files (any compression apt knows)."""
    packages = {}
    for name in files:
        text = subprocess.run([APT_HELPER, "cat-file", name], check=True, capture_output=True,
                              text=True).stdout
        add_packages(packages, text.splitlines())
    return packages


def add_packages(packages, lines):
    for fields in stanzas(lines):
        package = fields.get("Package")
        description = fields.get("Description") or fields.get("Description-en")
        section = fields.get("Section", "").rpartition("/")[2]  # without contrib/ and non-free/
        if package and description and section and package not in packages:
            source = fields.get("Source", package).split()[0]
            packages[package] = (source, description, section)


def row_of(package, description, section):
    return {"prompt": f"Package: {package}\nDescription: {description}\nSection:",
            "completion": f" {section}"}


def split(packages, rows, valid_rows, test_rows):
    """Returns the rows of train, valid and test; no source package is in more than one of them."""
    order = sorted(packages, key=lambda name: (fraction_of(name), name))
    parts = {"train": [], "valid": [], "test": []}
    held_out = HELD_OUT_PERCENT / 100
    valid_share = held_out / 3  # fixed: asking for fewer rows only cuts a file short
    wanted = {"train": rows, "valid": valid_rows, "test": test_rows}
    used = collections.Counter()
    for name in order:
        source, description, section = packages[name]
        place = fraction_of("source " + source)
        part = "train" if place >= held_out else "valid" if place < valid_share else "test"
        used[source] += 1
        if part != "train" and used[source] > ROWS_PER_HELD_OUT_SOURCE:
            continue
        if wanted[part] is None or len(parts[part]) < wanted[part]:
            parts[part].append(row_of(name, description, section))
    return parts


def write_rows(path, rows):
    """Writes under a temporary name first, so that an interrupted run leaves no half file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def print_counts(parts):
    counts = {name: collections.Counter(row["completion"].strip() for row in rows)
              for name, rows in parts.items()}
    print(f"{'section':<16}" + "".join(f"{name:>8}" for name in parts))
    total = sum(counts.values(), collections.Counter())
    for section, _ in sorted(total.items(), key=lambda item: (-item[1], item[0])):
        print(f"{section:<16}" + "".join(f"{counts[name][section]:>8}" for name in parts))
    print(f"{'all':<16}" + "".join(f"{len(rows):>8}" for rows in parts.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the files")
    parser.add_argument("--rows", type=int, help="training rows (default: all)")
    parser.add_argument("--valid-rows", type=int, default=500)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--index", nargs="*", help="Packages files instead of apt's own lists")
    options = parser.parse_args()
    files = options.index or index_files()
    packages = read_packages(files) if files else {}
    if len(packages) < 100:
        sys.exit(f"[make_dataset] {len(packages)} packages with a section in apt's lists; expected "
                 "tens of thousands; try 'apt-get update' as root on a Debian system")
    parts = split(packages, options.rows, options.valid_rows, options.test_rows)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        write_rows(options.out / f"{name}.jsonl", rows)
    print_counts(parts)


if __name__ == "__main__":
    main()
