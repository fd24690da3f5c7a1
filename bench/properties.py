#!/usr/bin/env python3
"""Measures what a training step should not depend on, or only in a stated way, and prints a table.

- Long rows: attention's share of the GEMM rate (causal FLOPs), and memory per token.
- Sparse targets: the gain when one position in sixteen has a target.
- Threads: the step's gain from a second thread against that of products, as steps run them and as
  oneDNN does.
Medians over rounds; lowest and highest in brackets.
Usage: bench/properties.py [--outsize PROGRAM] [--rounds 5] [--only long sparse threads] [--smoke]
"""
import argparse
import json
import subprocess

from steps import HERE, spread


def config_path(args, name):
    return HERE / "configs" / ("smoke.json" if args.smoke else f"{name}.json")


def bench(args, config, batch, length, *more, cores="0,1", steps=2):
    command = ["taskset", "-c", cores, args.outsize, "bench", "step", "--config",
               config_path(args, config), "--batch", str(batch), "--seq", str(length),
               "--dtype", "bf16", "--steps", "1" if args.smoke else str(steps), "--json", *more]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def rounds_of(args, measure):
    return [measure() for _ in range(args.rounds)]


def long_rows(args):
    model = json.loads(config_path(args, "llama-110m").read_text())
    for length in (64, 128) if args.smoke else (8192, 32768):
        def measure(length=length):
            run = bench(args, "llama-110m", 1, length)
            seconds = run["op_seconds"]["attention"] + run["op_seconds"]["attention_grad"]
            # Two products forward and five backward, of which half is masked.
            flops = (7 * 2 * model["num_hidden_layers"] * model["hidden_size"] *
                     length * length / 2)
            return (flops / seconds / 1e9 / run["gemm_gflops"], run["mfu"], run["peak_rss_bytes"])
        runs = rounds_of(args, measure)
        print(f"| Llama 110M 1×{length}: attention's share of the GEMM rate "
              f"| {spread([r[0] for r in runs], '.2f')} |")
        print(f"| … the step's | {spread([r[1] for r in runs], '.2f')} |")
        print(f"| … peak RSS GiB | {max(r[2] for r in runs) / 2**30:.2f} |", flush=True)


def sparse_targets(args):
    shape = (1, 64) if args.smoke else (4, 512)
    def measure():
        every = bench(args, "gemma3-270m", *shape)["step_seconds"]
        return every / bench(args, "gemma3-270m", *shape, "--target-every", "16")["step_seconds"]
    print(f"| Gemma 3 270M {shape[0]}×{shape[1]}, one target in 16: faster by "
          f"| {spread(rounds_of(args, measure), '.2f')} × |", flush=True)


def second_thread(args):
    for config, batch, length in [("gpt2-124m", 1, 16 if args.smoke else 512),
                                  ("gpt2-124m", 1, 16 if args.smoke else 256)]:
        def measure(config=config, batch=batch, length=length):
            one = bench(args, config, batch, length, "--profile", cores="0", steps=6)
            two = bench(args, config, batch, length, "--profile", steps=6)
            return {"step": one["step_seconds"] / two["step_seconds"],
                    **{rate: two[rate] / one[rate] for rate in ("gemm_gflops", "product_gflops")}}
        gains = rounds_of(args, measure)
        print(f"| {config} {batch}×{length}: gain from a second thread "
              f"| {spread([gain['step'] for gain in gains], '.2f')} |")
        for rate, whose in [("product_gflops", "its products'"),
                            ("gemm_gflops", "oneDNN's GEMM's")]:
            of_it = [gain["step"] / gain[rate] for gain in gains]
            print(f"| … of {whose}, {spread([gain[rate] for gain in gains], '.2f')} "
                  f"| {spread(of_it, '.2f')} |", flush=True)


def main():
    parts = {"long": long_rows, "sparse": sparse_targets, "threads": second_thread}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=parts, default=list(parts))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, once")
    args = parser.parse_args()
    if args.smoke:
        args.rounds = 1
    print("| what | measured |\n|---|---|")
    for name in args.only:
        parts[name](args)


if __name__ == "__main__":
    main()
