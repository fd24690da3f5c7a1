#!/usr/bin/env python3
"""Peak memory of PyTorch training steps, for the table in README.md: torch_step_memory.py MODE

GPT-2 124M of transformers, random weights, 4 x 512 random tokens, AdamW, clipped;
two steps. MODE: f32, autocast (f32 weights, bf16 arithmetic) or bf16 (everything bf16, no f32
masters). The other side: outsize bench step --batch 4 --seq 512 on the same sizes.
"""

import argparse
import json
import resource

import torch
import transformers


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("mode", choices=["f32", "autocast", "bf16"])
    mode = parser.parse_args().mode
    before = peak_bytes()
    torch.manual_seed(0)
    config = transformers.GPT2Config(attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)
    model = transformers.GPT2LMHeadModel(config)
    if mode == "bf16":
        model = model.to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    tokens = torch.randint(0, config.vocab_size, (4, 512))
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            loss = model(tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    print(json.dumps({"mode": mode, "loss": float(loss.detach()), "library_bytes": before,
                      "peak_rss_bytes": peak_bytes(), "torch": torch.__version__,
                      "transformers": transformers.__version__}))


if __name__ == "__main__":
    main()
