#!/usr/bin/env python3
"""Times prompt processing and decoding of a model, beside llama.cpp if asked, rounds interleaved.

Prints a Markdown table: tokens per second, and the share of what bounds them in the same run, the
GEMM rate for prompts (FLOPs of products and of causal attention) and the memory's read rate for
decoding, after prompts of each length. For llama.cpp the model is exported to GGUF in the same
dtype first.
Usage: bench/generate.py MODEL [--outsize PROGRAM] [--llama PYTHON] [--rounds 5] [--dtype bf16]
                               [--prompt-tokens 512 2048]
       bench/generate.py --smoke [--outsize PROGRAM]
"""
import argparse
import pathlib
import subprocess
import tempfile

import random_model
from steps import HERE, column, last_json, spread

NEW_TOKENS = 64
SMOKE_PROMPTS, SMOKE_NEW_TOKENS = [20], 2


def tell(prompt, own, peer):
    print(f"| {prompt} | Outsize | {column(own, 'prompt_tokens_per_second', '.0f')} "
          f"| {column(own, 'prompt_share_of_gemm', '.2f')} "
          f"| {column(own, 'tokens_per_second', '.1f')} "
          f"| {column(own, 'decode_share_of_ram', '.2f')} |")
    if not peer:
        return
    print(f"| {prompt} | llama.cpp | {column(peer, 'prompt_tokens_per_second', '.0f')} | "
          f"| {column(peer, 'tokens_per_second', '.1f')} | |")
    faster = [spread([a[key] / b[key] for a, b in zip(own, peer)], ".2f")
              for key in ("prompt_tokens_per_second", "tokens_per_second")]
    print(f"| {prompt} | Outsize is faster by | {faster[0]} × | | {faster[1]} × | |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?")
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--llama", metavar="PYTHON", help="a Python that has llama-cpp-python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--prompt-tokens", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--smoke", action="store_true", help="a tiny made-up model, once")
    args = parser.parse_args()
    if (args.model is None) != args.smoke:
        parser.error("name a model, or say --smoke")
    new_tokens = SMOKE_NEW_TOKENS if args.smoke else NEW_TOKENS
    prompts = SMOKE_PROMPTS if args.smoke else args.prompt_tokens
    own, peer = {p: [] for p in prompts}, {p: [] for p in prompts}
    with tempfile.TemporaryDirectory() as folder:
        gguf = pathlib.Path(folder, "model.gguf")
        if args.smoke:
            args.rounds, args.model = 1, pathlib.Path(folder, "model")
            random_model.write_model(args.model, HERE / "configs/smoke.json")
        if args.llama:
            subprocess.run([args.outsize, "export", args.model, "--format", "gguf", "--dtype",
                            args.dtype, "--out", gguf], check=True, capture_output=True)
        for _ in range(args.rounds):
            for prompt in prompts:
                tokens = ["--prompt-tokens", str(prompt), "--new-tokens", str(new_tokens)]
                own[prompt].append(last_json([args.outsize, "bench", "generate", args.model,
                                              "--dtype", args.dtype, *tokens, "--rounds",
                                              "1" if args.smoke else "3", "--json"]))
                if args.llama:
                    peer[prompt].append(last_json([args.llama, HERE / "llama_generate.py", gguf,
                                                   *tokens]))
    print("| prompt | | prompt tok/s | share of GEMM rate | decode tok/s | share of RAM rate |")
    print("|---|---|---|---|---|---|")
    for prompt in prompts:
        tell(prompt, own[prompt], peer[prompt])


if __name__ == "__main__":
    main()
