#!/usr/bin/env python3
"""Times decoding and evaluation of models under budgets that their weights exceed.

Qwen2.5-0.5B with made-up bf16 weights, and the same with a head of its own. Every round runs each
budget once; `foretold` comes from a machine file, which is measured first unless one is given.
Prints two Markdown tables; medians over rounds, lowest and highest in brackets. `disk GB/s` is the
rate of the same reads in the same run with nothing beside them, and the share is of their time.
The folder takes 2.3 GB for the models and as much as the largest of them for what is streamed.

Usage: bench/generate_disk.py [--outsize PROGRAM] [--folder DISK] [--machine FILE] [--rounds 3]
                              [--smoke]
"""
import argparse
import json
import pathlib
import re
import subprocess
import tempfile

import random_model
from steps import HERE, column, last_json, spread
from stream import machine_file

BUDGETS = ["640MiB", "1GiB"]
EVALUATION_BUDGETS = ["1GiB", "1.25GiB"]  # of 2,048 tokens at a time, beside the largest table
EVALUATED_LENGTH, EVALUATED_TEXT = 1024, "one two three " * 400
SMOKE_BUDGETS, SMOKE_EVALUATION_BUDGETS, SMOKE_LENGTH = ["240MiB"], ["304MiB"], 64
SMOKE_SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8,
               "vocab_size": 16384}  # the smallest that need the disk
FORETOLD = re.compile(r"([\d.e+]+) tok/s foretold")


def write_models(folder, smoke):
    """(name, folder) of each."""
    shape = "smoke" if smoke else "qwen2.5-0.5b"
    config = json.loads((HERE / f"configs/{shape}.json").read_text())
    if smoke:
        config |= SMOKE_SIZES
    for name, tied in (("Qwen2.5-0.5B", True), ("… with a head of its own", False)):
        path = pathlib.Path(folder, f"tied-{tied}.json")
        path.write_text(json.dumps(config | {"tie_word_embeddings": tied}))
        random_model.write_model(path.with_suffix(""), path)
        yield name, path.with_suffix("")


def with_machine(command, machine):
    return command + (["--machine", machine] if machine else [])


def generate(args, model, budget, machine):
    tokens = ["2", "--rounds", "1"] if args.smoke else ["16", "--rounds", "2"]
    return last_json(with_machine(
        [args.outsize, "bench", "generate", model, "--memory", budget, "--disk", model,
         "--prompt-tokens", "32", "--new-tokens", *tokens, "--json"], machine))


def evaluate(args, model, budget, machine):
    """Tokens per second of whole batches, and what was foretold."""
    length, text = SMOKE_LENGTH if args.smoke else EVALUATED_LENGTH, model / "text.txt"
    text.write_text(EVALUATED_TEXT)
    run = subprocess.run(with_machine(
        [args.outsize, "eval", model, "--data", text, "--memory", budget, "--disk", model,
         "--sequence-length", str(length), "--dtype", "bf16", "--json"], machine),
        check=True, capture_output=True, text=True)
    result = json.loads(run.stdout)
    foretold = FORETOLD.search(run.stderr)
    return {"tokens_per_second": result["target_tokens"] / result["seconds"],
            "foretold_tokens_per_second": float(foretold[1]) if foretold else None}


def show(value, form):
    return "" if value is None else f"{value:{form}}"


def print_decoding(results):
    print("| model | budget | GB per token | disk GB/s | tok/s | foretold | share of disk time |")
    print("|---|---|---|---|---|---|---|")
    for (name, budget), runs in results.items():
        print(f"| {name} | {budget} | {runs[-1]['token_disk_bytes'] / 1e9:.2f} "
              f"| {column(runs, 'disk_gb_per_second', '.2f')} "
              f"| {column(runs, 'tokens_per_second', '.2f')} "
              f"| {show(runs[-1]['foretold_tokens_per_second'], '.2f')} "
              f"| {column(runs, 'decode_share_of_disk', '.2f')} |")


def print_evaluation(results):
    print("\n| model | budget | evaluated tok/s | foretold |")
    print("|---|---|---|---|")
    for (name, budget), runs in results.items():
        rates = [run["tokens_per_second"] for run in runs]
        print(f"| {name} | {budget} | {spread(rates, '.0f')} "
              f"| {show(runs[-1]['foretold_tokens_per_second'], '.0f')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--folder", default=".", help="on the disk to use")
    parser.add_argument("--machine", help="machine file; default: measured now")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="tiny models, once")
    args = parser.parse_args()
    decoding, evaluation = {}, {}
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        models = list(write_models(folder, args.smoke))
        machine = machine_file(args, folder)
        for _ in range(1 if args.smoke else args.rounds):
            for name, model in models:
                for budget in SMOKE_BUDGETS if args.smoke else BUDGETS:
                    decoding.setdefault((name, budget), []).append(
                        generate(args, model, budget, machine))
                for budget in SMOKE_EVALUATION_BUDGETS if args.smoke else EVALUATION_BUDGETS:
                    evaluation.setdefault((name, budget), []).append(
                        evaluate(args, model, budget, machine))
    print_decoding(decoding)
    print_evaluation(evaluation)


if __name__ == "__main__":
    main()
