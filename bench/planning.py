#!/usr/bin/env python3
"""Times planning: how long the search for a plan takes, by depth of the model.

Llama 110M with more layers (narrow ones where it says so, so that an ordinary disk has room for
their state), random weights, budgets that everything does not fit, four microbatches. `--small`
names a folder on a disk with no room for the deepest: what it costs to find that out. Medians over
rounds; lowest and highest in brackets.

Usage: bench/planning.py [--outsize PROGRAM] [--folder DISK] [--small DISK] [--rounds 3] [--smoke]
"""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

from steps import HERE, spread

NARROW = {"hidden_size": 256, "intermediate_size": 688, "num_attention_heads": 4,
          "num_key_value_heads": 4, "vocab_size": 4096}
# Name, changes of the model, budgets of the process, layout of the store, on the small disk.
CASES = [
    ("32 layers", {"num_hidden_layers": 32}, ["1GiB", "3GiB"], "two_slots", False),
    ("32 layers", {"num_hidden_layers": 32}, ["1GiB"], "ring", False),
    ("1,000 narrow layers", {**NARROW, "num_hidden_layers": 1000}, ["2GiB"], "two_slots", False),
    ("1,000 narrow layers", {**NARROW, "num_hidden_layers": 1000}, ["2GiB"], "ring", False),
    ("1,000 layers", {"num_hidden_layers": 1000}, ["4GiB"], "auto", True),
]
SMOKE = [("3 layers", {"num_hidden_layers": 3}, ["600MiB"], "auto", False)]


def model_folder(folder, changes):
    config = json.loads((HERE / "configs" / "llama-110m.json").read_text())
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


def plan(args, folder, budget, store, disk):
    """Seconds of the command, and what it found."""
    settings = {"model": folder / "model", "init": "random", "run": folder / "run",
                "data.train": folder / "text.txt", "train.steps": 1, "train.global_batch": 8,
                "train.microbatch": 2, "budget.memory": budget, "budget.store": store,
                "budget.disk": disk}
    (folder / "empty.yaml").write_text("{}\n")
    (folder / "text.txt").write_text("text\n")
    command = [args.outsize, "plan", folder / "empty.yaml", "--json"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    start = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if result.returncode == 0:
        found = json.loads(result.stdout)
        return found["explanation"]["planning_seconds"], found["streams"]["candidates"][0]["plan"]
    if "no room" not in result.stderr:
        raise SystemExit(result.stderr)
    return seconds, "refused: no room on the disk"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--folder", default=".", help="on a disk with some 30 GB free")
    parser.add_argument("--small", default="/dev/shm", help="on a disk with less than 100 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="one tiny model, once")
    args = parser.parse_args()
    print("| model | budget | store | planned in, s | plan |\n|---|---|---|---|---|")
    for name, changes, budgets, store, small in SMOKE if args.smoke else CASES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            model_folder(folder / "model", changes)
            for budget in budgets:
                runs = [plan(args, folder, budget, store, args.small if small else args.folder)
                        for _ in range(1 if args.smoke else args.rounds)]
                print(f"| {name} | {budget} | {store} | {spread([r[0] for r in runs], '.2f')} "
                      f"| {runs[-1][1]} |", flush=True)


if __name__ == "__main__":
    main()
