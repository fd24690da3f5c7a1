#!/usr/bin/env python3
"""Every op of the standard shapes, measured within training steps, against what the cost model
foretells from a machine file; prints a Markdown table and the share of shapes within 10 %.

The machine file is measured anew first, unless --machine names one: rates change from minute to
minute where a computer is shared. A shape is an op with its attributes and types; it counts once
per configuration and dtype. With --own the ops are first measured at their own sizes, in a few
layers of the models (`outsize profile --run`).

Usage: bench/op_costs.py [--outsize PROGRAM] [--machine FILE] [--own] [--steps 3]
                         [--only NAME ...] [--worst 15]
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

from steps import HERE, Shape, measure_own_sizes

CONFIGS = ("gpt2-124m", "llama-110m", "qwen2.5-0.5b", "gemma3-270m")
DTYPES = ("bf16", "f32")
BAR = 0.10


def measure(program, machine, config, dtype, steps, shape):
    command = [program, "bench", "ops", "--config", HERE / "configs" / f"{config}.json",
               "--dtype", dtype, "--batch", str(shape[0]), "--seq", str(shape[1]),
               "--steps", str(steps), "--machine", machine, "--json"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def show(name, rows):
    within = [row for row in rows if abs(row["error"]) <= BAR]
    seconds = sum(row["count"] * row["seconds"] for row in rows)
    foretold = sum(row["count"] * row["predicted_seconds"] for row in rows)
    print(f"| {name} | {len(rows)} | {len(within) / len(rows):.0%} | {seconds:.3f} "
          f"| {foretold:.3f} | {foretold / seconds - 1:+.1%} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=HERE.parent / "build/release/src/cli/outsize")
    parser.add_argument("--machine", type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", action="append", help="configuration, as gemma3-270m")
    parser.add_argument("--shape", type=int, nargs=2, default=(4, 512), metavar=("ROWS", "TOKENS"))
    parser.add_argument("--own", action="store_true", help="measure them at their own sizes first")
    parser.add_argument("--worst", type=int, default=15, help="rows of largest error to list")
    options = parser.parse_args()
    machine = options.machine
    if machine is None:
        machine = pathlib.Path(tempfile.mkdtemp()) / "machine.json"
        subprocess.run([options.outsize, "profile", "--out", machine], check=True)
    print("| shape | ops | within 10 % | measured s | foretold s | all |")
    print("|---|---|---|---|---|---|")
    everything = []
    for config in options.only or CONFIGS:
        for dtype in DTYPES:
            if options.own:
                measure_own_sizes(options.outsize, machine,
                                  Shape(config, config, *options.shape, dtype))
            rows = measure(options.outsize, machine, config, dtype, options.steps, options.shape)
            show(f"{config} {dtype}", rows)
            everything += [{**row, "name": f"{config} {dtype}"} for row in rows]
    show("all", everything)
    everything.sort(key=lambda row: -abs(row["error"]))
    for row in everything[:options.worst]:
        print(f"{row['error']:+7.1%}  {row['seconds'] * 1e3:9.3f} ms x {row['count']:<4} "
              f"{row['name']}: {row['call'][:140]}")


if __name__ == "__main__":
    main()
