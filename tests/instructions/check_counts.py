#!/usr/bin/env python3
"""Counts the instructions of small fixed programs and fails where a count has grown: a guard for
speed that needs no quiet machine.

limits.json names the programs and, per unit of work, the instructions that were counted when the
limit was set; 10 % more is a failure. valgrind's callgrind counts; the vector kernels are set to
the baseline, because it knows no AVX-512, and so that every processor counts alike.

A change that needs more instructions, and is worth it, sets the limits anew in the commit that
makes it: tests/instructions/check_counts.py PROGRAM --update. So does one that needs fewer, or what
it won could be lost again unseen.
Usage: check_counts.py PROGRAM [--update] [--only NAME]
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIMITS = HERE / "limits.json"
MARGIN = 1.10
LOOSE = 0.80  # a limit that far above its count guards little


def count(program, arguments):
    """Instructions per unit of work within counted_region()."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "counts")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=counted_region",
             f"--callgrind-out-file={out}", program, *arguments],
            cwd=ROOT, capture_output=True, text=True,
            env={**os.environ, "OUTSIZE_ISA": "baseline", "OMP_NUM_THREADS": "1"})
        if run.returncode != 0:
            raise RuntimeError(f"{arguments}: {run.stderr}")
        total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
        if total is None or int(total.group(1)) == 0:
            raise RuntimeError(f"{arguments}: nothing was counted")
        return int(total.group(1)) / float(run.stdout)


def too_many(counted, limit):
    return counted > limit * MARGIN


def check(program, limits):
    failed = 0
    for name, entry in limits.items():
        counted, limit = count(program, entry["arguments"]), entry["limit"]
        failed += too_many(counted, limit)
        note = (": TOO MANY" if too_many(counted, limit) else
                "; lower the limit with --update" if counted < limit * LOOSE else "")
        print(f"{name}: {counted:.1f} instructions per {entry['unit']}, limit {limit:.1f} "
              f"and 10 %{note}", flush=True)
    return failed


def self_test():
    """The judgement itself: a guard that cannot fail guards nothing."""
    assert too_many(111, 100) and too_many(1, 0)
    assert not too_many(109, 100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--update", action="store_true", help="write what is counted as the limits")
    parser.add_argument("--only", help="one program of limits.json")
    args = parser.parse_args()
    self_test()
    every = json.loads(LIMITS.read_text())
    limits = {name: entry for name, entry in every.items() if args.only in (None, name)}
    if not limits:
        sys.exit(f"limits.json has no '{args.only}'; it has {', '.join(every)}")
    program = args.program.resolve()
    if not args.update:
        sys.exit(1 if check(program, limits) else 0)
    for entry in limits.values():
        entry["limit"] = round(count(program, entry["arguments"]), 1)
    LIMITS.write_text(json.dumps(every, indent=2) + "\n")


if __name__ == "__main__":
    main()
