#!/usr/bin/env python3
"""Times training steps of the standard shapes, beside PyTorch if asked, and prints Markdown tables.

Every program runs once per round and the rounds follow each other, so that a change of the
machine's speed meets all of them; `outsize bench step` measures the GEMM rate between its own
steps, so the share of that rate holds anyway. Medians over rounds; lowest and highest in brackets.

Usage: bench/steps.py [--outsize PROGRAM] [--torch PYTHON] [--rounds 5] [--steps 3]
                      [--only WORD ...] [--smoke]
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent


@dataclass(frozen=True)
class Shape:
    name: str
    config: str
    batch: int
    length: int
    dtype: str
    peers: tuple = ()  # of PyTorch: "eager", "compile"

    def options(self):
        return ["--batch", str(self.batch), "--seq", str(self.length), "--dtype", self.dtype]


SHAPES = [
    Shape("GPT-2 124M 4×512 f32", "gpt2-124m", 4, 512, "f32", ("eager",)),
    Shape("GPT-2 124M 4×512 bf16", "gpt2-124m", 4, 512, "bf16", ("eager", "compile")),
    Shape("GPT-2 124M 4×64 bf16", "gpt2-124m", 4, 64, "bf16", ("compile",)),
    Shape("Llama 110M 4×512 bf16", "llama-110m", 4, 512, "bf16", ("compile",)),
    Shape("Llama 110M 4×512 f32", "llama-110m", 4, 512, "f32"),
    Shape("Qwen2.5-0.5B 4×512 bf16", "qwen2.5-0.5b", 4, 512, "bf16", ("eager",)),
    Shape("Gemma 3 270M 4×512 bf16", "gemma3-270m", 4, 512, "bf16", ("eager",)),
]
SMOKE = [Shape("tiny 2×32 bf16", "smoke", 2, 32, "bf16")]


def last_json(command):
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def measure_own_sizes(program, machine, shape):
    """Adds what the shape's ops take to the machine file (`outsize profile --run`)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        shutil.copy(HERE / "configs" / f"{shape.config}.json", folder / "config.json")
        (folder / "run.yaml").write_text(
            f"model: {folder}\ninit: random\nrun: {folder}/run\n"
            f"data: {{train: {folder}/text.txt, sequence_length: {shape.length}}}\n"
            f"train: {{steps: 1, global_batch: {shape.batch}, dtype: {shape.dtype}}}\n")
        subprocess.run([program, "profile", "--run", folder / "run.yaml", "--out", machine],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_outsize(program, shape, steps):
    config = HERE / "configs" / f"{shape.config}.json"
    return last_json([program, "bench", "step", "--config", config, *shape.options(),
                      "--steps", str(steps), "--json"])


def run_torch(python, shape, mode, steps):
    more = ["--compile"] if mode == "compile" else []
    return last_json([python, HERE / "torch_step.py", HERE / "configs" / f"{shape.config}.json",
                      *shape.options(), *more, "--steps", str(steps)])


def measure(args, shapes, rounds):
    """(shape, program) -> one result per round."""
    results = {}
    for number in range(rounds):
        for shape in shapes:
            print(f"round {number + 1} of {rounds}: {shape.name}", file=sys.stderr, flush=True)
            results.setdefault((shape, "outsize"), []).append(
                run_outsize(args.outsize, shape, args.steps))
            for mode in shape.peers if args.torch else ():
                results.setdefault((shape, mode), []).append(
                    run_torch(args.torch, shape, mode, args.steps))
    return results


def spread(values, form):
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def column(runs, key, form):
    return spread([run[key] for run in runs], form)


def peak(runs):
    return f"{max(run['peak_rss_bytes'] for run in runs) / 2**30:.2f}"


def print_own(results):
    print("| shape | tok/s | GEMM GFLOP/s | share of GEMM rate | peak RSS GiB |")
    print("|---|---|---|---|---|")
    for (shape, program), runs in results.items():
        if program == "outsize":
            print(f"| {shape.name} | {column(runs, 'tokens_per_second', '.0f')} "
                  f"| {column(runs, 'gemm_gflops', '.0f')} | {column(runs, 'mfu', '.2f')} "
                  f"| {peak(runs)} |")


def print_peers(results):
    print("\n| shape | PyTorch | tok/s | peak RSS GiB | Outsize is faster by |")
    print("|---|---|---|---|---|")
    for (shape, program), runs in results.items():
        if program == "outsize":
            continue
        ratios = [own["tokens_per_second"] / run["tokens_per_second"]
                  for own, run in zip(results[shape, "outsize"], runs)]
        print(f"| {shape.name} | {program} | {column(runs, 'tokens_per_second', '.0f')} "
              f"| {peak(runs)} | {spread(ratios, '.2f')} × |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has torch, transformers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names that contain one of these words")
    parser.add_argument("--smoke", action="store_true", help="one tiny shape, once")
    args = parser.parse_args()
    shapes = SMOKE if args.smoke else SHAPES
    if args.only:
        shapes = [s for s in shapes if any(word in s.name for word in args.only)]
    results = measure(args, shapes, 1 if args.smoke else args.rounds)
    print_own(results)
    if args.torch:
        print_peers(results)


if __name__ == "__main__":
    main()
