#!/usr/bin/env python3
"""Times training steps of the standard shapes, rounds interleaved, and prints a Markdown table.

Each run of `outsize bench step` measures the GEMM rate between its own steps, so the share of that
rate (mfu) holds even where the machine's speed changes from minute to minute. Medians over rounds;
lowest and highest in brackets.

Usage: bench/steps.py [--outsize PROGRAM] [--rounds 5] [--steps 3] [--only NAME ...] [--smoke]
"""
import argparse
import json
import pathlib
import statistics
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
# name, configuration, batch, tokens per row, dtype
SHAPES = [
    ("gpt2-124m 4x512 bf16", "gpt2-124m", 4, 512, "bf16"),
    ("gpt2-124m 4x512 f32", "gpt2-124m", 4, 512, "f32"),
    ("gpt2-124m 4x64 bf16", "gpt2-124m", 4, 64, "bf16"),
    ("llama-110m 4x512 bf16", "llama-110m", 4, 512, "bf16"),
    ("qwen2.5-0.5b 4x512 bf16", "qwen2.5-0.5b", 4, 512, "bf16"),
    ("gemma3-270m 4x512 bf16", "gemma3-270m", 4, 512, "bf16"),
]
SMOKE = [("gpt2-124m 1x16 bf16", "gpt2-124m", 1, 16, "bf16")]


def measure(program, shape, steps):
    _, config, batch, length, dtype = shape
    command = [program, "bench", "step", "--config", HERE / "configs" / f"{config}.json",
               "--batch", str(batch), "--seq", str(length), "--dtype", dtype,
               "--steps", str(steps), "--json"]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def spread(values, form):
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names that contain one of these words")
    parser.add_argument("--smoke", action="store_true", help="one tiny shape, once")
    args = parser.parse_args()
    shapes = SMOKE if args.smoke else SHAPES
    if args.only:
        shapes = [s for s in shapes if any(word in s[0] for word in args.only)]
    rounds = 1 if args.smoke else args.rounds
    results = {shape[0]: [] for shape in shapes}
    for _ in range(rounds):
        for shape in shapes:
            results[shape[0]].append(measure(args.outsize, shape, args.steps))
    print("| shape | tok/s | GEMM GFLOP/s | share of GEMM rate | peak RSS GiB |")
    print("|---|---|---|---|---|")
    for name, runs in results.items():
        print(f"| {name} | {spread([r['tokens_per_second'] for r in runs], '.0f')} "
              f"| {spread([r['gemm_gflops'] for r in runs], '.0f')} "
              f"| {spread([r['mfu'] for r in runs], '.2f')} "
              f"| {max(r['peak_rss_bytes'] for r in runs) / 2**30:.2f} |")


if __name__ == "__main__":
    main()
