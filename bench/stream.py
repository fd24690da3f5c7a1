#!/usr/bin/env python3
"""Times training steps with less memory than the state takes, beside the same steps all in RAM.

Every round runs each budget of each shape once. `foretold` comes from a machine file, which is
measured first unless one is given, the shapes' own ops with it. Medians over rounds; lowest and
highest in brackets. `× its floor`: the larger of what it owes to products and to the disk, at rates
measured with both at work together, right after the steps.

Usage: bench/stream.py [--outsize PROGRAM] [--folder DISK] [--machine FILE] [--rounds 3]
                       [--steps 1] [--clip 1] [--only WORD ...] [--smoke]
"""
import argparse
import pathlib
import subprocess
import tempfile

from steps import HERE, Shape, last_json, measure_own_sizes, spread

# Name, configuration, batch, length, budgets of the process; None: all in RAM.
SHAPES = [
    ("GPT-2 124M 4×512", "gpt2-124m", 4, 512, [None, "1GiB"]),
    ("Qwen2.5-0.5B 8×1,024", "qwen2.5-0.5b", 8, 1024, [None, "4.4GiB", "2.3GiB"]),
    ("Qwen2.5-1.5B 8×1,024", "qwen2.5-1.5b", 8, 1024, ["4GiB"]),
    ("Qwen2.5-3B 8×1,024", "qwen2.5-3b", 8, 1024, ["6GiB"]),
]
SMOKE = [("GPT-2 124M 1×16", "gpt2-124m", 1, 16, ["900MiB"])]


def run(args, config, batch, length, budget, machine):
    command = [args.outsize, "bench", "step", "--config", HERE / "configs" / f"{config}.json",
               "--batch", str(batch), "--seq", str(length), "--dtype", "bf16",
               "--steps", str(args.steps), "--clip", str(args.clip), "--folder", args.folder,
               "--json"]
    if machine:
        command += ["--machine", machine]
    return last_json(command + (["--memory", budget, "--floors"] if budget else []))


def row(name, budget, runs, resident):
    last = runs[-1]
    plan = last["streams"]["candidates"][0]["plan"]
    share = [r["mfu"] for r in runs]
    ratio = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(runs, resident)]
    seconds = [r["step_seconds"] for r in runs]
    foretold = last["predicted_seconds"]
    floors = [r["floors"] for r in runs if "floors" in r]
    above = [r["step_seconds"] / max(f["compute_seconds"], f["transfer_seconds"])
             for r, f in zip(runs, floors)]
    print(f"| {name} | {budget or 'none'} | {plan} | {spread(seconds, '.2f')} "
          f"| {f'{foretold:.2f}' if foretold else ''} | {spread(share, '.2f')} "
          f"| {spread(above, '.2f') if above else ''} "
          f"| {spread(ratio, '.2f') if resident else ''} "
          f"| {max(r['peak_rss_bytes'] for r in runs) / 2**30:.2f} "
          f"| {last['streams']['read_bytes_per_step'] / 1e9:.1f} "
          f"| {last['streams']['written_bytes_per_step'] / 1e9:.1f} |", flush=True)


def machine_file(args, folder, shapes=()):
    """The one that is given, or one measured now with the shapes' own ops; none for a smoke."""
    if args.machine or args.smoke:
        return args.machine
    path = pathlib.Path(folder) / "machine.json"
    subprocess.run([args.outsize, "profile", "--disk", args.folder, "--out", path], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for name, config, batch, length, _ in shapes:
        measure_own_sizes(args.outsize, path, Shape(name, config, batch, length, "bf16"))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--folder", default=".", help="on the disk to use")
    parser.add_argument("--machine", help="machine file; default: measured now")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="measured, after one more")
    parser.add_argument("--clip", type=float, default=1, help="of the gradients' norm; 0: off")
    parser.add_argument("--only", nargs="*", help="shapes whose names contain one of these words")
    parser.add_argument("--smoke", action="store_true", help="one tiny shape, once")
    args = parser.parse_args()
    shapes = SMOKE if args.smoke else SHAPES
    if args.only:
        shapes = [s for s in shapes if any(word in s[0] for word in args.only)]
    with tempfile.TemporaryDirectory() as folder:
        machine = machine_file(args, folder, shapes)
        results = {}
        for _ in range(1 if args.smoke else args.rounds):
            for name, config, batch, length, budgets in shapes:
                for budget in budgets:
                    results.setdefault((name, budget), []).append(
                        run(args, config, batch, length, budget, machine))
    print("| shape | budget | plan | s per step | foretold | share of GEMM rate "
          "| × its floor | of the speed in RAM | peak RSS GiB | GB read | GB written |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for (name, budget), runs in results.items():
        row(name, budget, runs, results.get((name, None), []))


if __name__ == "__main__":
    main()
