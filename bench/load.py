#!/usr/bin/env python3
"""Times loading: weights against a plain read of the same file, and from the command to its first
training step. Prints a Markdown table; medians over rounds, lowest and highest in brackets.

The model is a folder with made-up bf16 weights of a standard shape (bench/random_model.py). The
floor is the faster of two plain reads of the file, on one and on two threads, into fresh memory of
its size (huge pages), which loading needs too; it runs in turn with loading. The file lies in the
page cache, or with --cold is dropped from it before each read. From command to first step: start of
the process to the start of the step's computation, tokenizer, data, plan and weights included.
Usage: bench/load.py [--outsize PROGRAM] [--config NAME] [--rounds 5] [--cold] [--smoke]
                     [--folder FOLDER]
"""
import argparse
import concurrent.futures
import json
import mmap
import os
import pathlib
import random
import subprocess
import tempfile
import time

import random_model
from steps import HERE, last_json, spread

PIECE_BYTES = 4 << 20


def drop_from_cache(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_part(path, memory, begin, end):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while begin < end:
            begin += os.preadv(descriptor, [memory[begin:min(begin + PIECE_BYTES, end)]], begin)
    finally:
        os.close(descriptor)


def plain_read_seconds(path, threads):
    size = path.stat().st_size
    edges = [size * part // threads for part in range(threads + 1)]
    start = time.perf_counter()
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as fresh, \
            memoryview(fresh) as memory:
        fresh.madvise(mmap.MADV_HUGEPAGE)
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda edge: read_part(path, memory, *edge), zip(edges, edges[1:])))
        return time.perf_counter() - start


def write_rows(path, count):
    generator = random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(count):
            words = ("".join(generator.choices("etaoinshrdlu", k=generator.randint(1, 8)))
                     for _ in range(60))
            file.write(json.dumps({"text": " ".join(words)}) + "\n")


def first_step_seconds(program, config, run):
    """From the start of the process to the start of its first step."""
    metrics = run / "metrics.jsonl"
    start = time.monotonic()
    process = subprocess.Popen([program, "train", config, "--set", f"run={run}"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not metrics.exists() or not metrics.read_text().endswith("\n"):
            if process.poll() not in (None, 0):
                raise RuntimeError(process.stderr.read().decode())
            time.sleep(0.002)
        seen = time.monotonic()
        return seen - start - json.loads(metrics.read_text().splitlines()[0])["seconds"]
    finally:
        process.kill()
        process.wait()


def measure(args, folder, weights):
    # One row: what comes before the first step does not depend on it, and the step is soon over.
    shape = (1, 64) if args.smoke else (1, 512)
    write_rows(folder / "train.jsonl", 8 if args.smoke else 400)
    config = folder / "run.yaml"
    config.write_text(json.dumps({
        "model": str(folder / "model"),
        "data": {"train": str(folder / "train.jsonl"), "sequence_length": shape[1],
                 "long_samples": "split"},
        "train": {"steps": 1, "global_batch": shape[0], "dtype": "bf16"}, "run": "unused"}))
    plain, load, first = [], [], []
    for number in range(args.rounds):
        def prepare():
            if args.cold:
                drop_from_cache(weights)
        best = []
        for threads in (1, 2):
            prepare()
            best.append(plain_read_seconds(weights, threads))
        plain.append(min(best))
        prepare()
        load.append(last_json([args.outsize, "bench", "generate", folder / "model", "--rounds", "1",
                               "--prompt-tokens", "1", "--new-tokens", "1",
                               "--json"])["load_seconds"])
        prepare()
        first.append(first_step_seconds(args.outsize, config, folder / f"run{number}"))
    return plain, load, first


def show(args, size, plain, load, first):
    where = "from disk" if args.cold else "in the page cache"
    print(f"| {args.config}, {size / 1e9:.2f} GB {where} | seconds |\n|---|---|")
    print(f"| plain read | {spread(plain, '.3f')} |")
    print(f"| weights to their places | {spread(load, '.3f')} |")
    print(f"| … of the plain read's rate | {spread([a / b for a, b in zip(plain, load)], '.2f')} |")
    print(f"| command to first step | {spread(first, '.2f')} |")
    print(f"| … less 1.3 × the plain read "
          f"| {spread([a - 1.3 * b for a, b in zip(first, plain)], '.2f')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--config", default="qwen2.5-0.5b")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="drop the file from the page cache")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, once")
    parser.add_argument("--folder", type=pathlib.Path, help="where the model is written")
    args = parser.parse_args()
    if args.smoke:
        args.config, args.rounds = "smoke", 1
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = pathlib.Path(name)
        weights = random_model.write_model(folder / "model",
                                           HERE / "configs" / f"{args.config}.json")
        os.sync()  # or the first round shares the disk with what was just written
        show(args, weights.stat().st_size, *measure(args, folder, weights))


if __name__ == "__main__":
    main()
