#!/usr/bin/env python3
"""Times llama.cpp on a GGUF file: prompt processing and greedy decoding, batch 1, two threads.

Prints one line of JSON: prompt_tokens_per_second, tokens_per_second (median token). The other side
of `outsize bench generate`; bench/generate.py runs both in turn.
Usage: bench/llama_generate.py GGUF [--prompt-tokens 512] [--new-tokens 64] [--threads 2]
"""
import argparse
import json
import random
import statistics
import time

import llama_cpp


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gguf")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    model = llama_cpp.Llama(args.gguf, n_ctx=args.prompt_tokens + args.new_tokens, verbose=False,
                            n_batch=512, n_threads=args.threads, n_threads_batch=args.threads)
    rng = random.Random(1)
    prompt = [rng.randrange(model.n_vocab()) for _ in range(args.prompt_tokens)]
    model.eval(prompt)  # the first touches fresh pages
    model.reset()
    start = time.perf_counter()
    model.eval(prompt)
    prompt_seconds = time.perf_counter() - start
    seconds = []
    for _ in range(args.new_tokens):
        start = time.perf_counter()
        model.eval([model.sample(temp=0.0)])
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"prompt_tokens_per_second": args.prompt_tokens / prompt_seconds,
                      "tokens_per_second": 1 / statistics.median(seconds),
                      "llama_cpp": llama_cpp.__version__}))


if __name__ == "__main__":
    main()
