#!/usr/bin/env python3
"""Times training steps of PyTorch and transformers on a shape of bench/configs, as a user writes
them: random weights and tokens, AdamW, clipping. bf16 is autocast over f32 weights; all-bf16 has
no f32 masters, so that small updates are lost in rounding.

Prints one line of JSON: tokens_per_second (median step after a warm-up), step_seconds, loss,
peak_rss_bytes, versions. bench/steps.py runs this in turn with `outsize bench step`.
Usage: bench/torch_step.py CONFIG --batch B --seq T --dtype f32|bf16|all-bf16
                           [--compile] [--recompute]
"""
import argparse
import json
import resource
import statistics
import time

import torch
import transformers


def build(path, recompute):
    with open(path, encoding="utf-8") as file:
        fields = json.load(file)
    config = transformers.AutoConfig.for_model(**fields)
    config.use_cache = False
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    model.train()
    for module in model.modules():  # the other side has no dropout either
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if recompute:
        model.gradient_checkpointing_enable()
    return model


def timed_step(model, optimizer, tokens, dtype):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
        loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return time.perf_counter() - start, float(loss.detach())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--dtype", choices=["f32", "bf16", "all-bf16"], default="bf16")
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--steps", type=int, default=3, help="steps measured, after one more")
    args = parser.parse_args()
    model = build(args.config, args.recompute)
    if args.dtype == "all-bf16":
        model = model.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens = torch.randint(0, model.config.vocab_size, (args.batch, args.seq))
    run = torch.compile(model) if args.compile else model
    results = [timed_step(run, optimizer, tokens, args.dtype) for _ in range(args.steps + 1)]
    step = statistics.median(seconds for seconds, _ in results[1:])
    print(json.dumps({
        "tokens_per_second": args.batch * args.seq / step, "step_seconds": step,
        "loss": results[-1][1], "threads": torch.get_num_threads(),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__, "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
