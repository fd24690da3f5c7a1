"""Writes goldens.json: ten steps of torch's optimizers, transformers' schedules, torch's clips.

Run with torch and transformers installed: python make_goldens.py. Versions and seed: in the file.
"""

import json
import pathlib

import numpy as np
import torch
import transformers

SEED = 20240607
STEPS = 10
SHAPES = [[13], [7, 5], [2, 3, 4]]


def numbers(values):
    """Shortest decimals that read back as the same f32."""
    return [float(f"{v:.9g}") for v in np.asarray(values, dtype=np.float32).ravel()]


def optimizer_cases():
    falling = [0.02 * (1 - t / STEPS) for t in range(STEPS)]
    return [
        ("adamw", {"weight_decay": 0.1}, dict(weight_decay=0.1), falling),
        ("adamw", {"beta1": 0.9, "beta2": 0.95, "eps": 1e-3},
         dict(weight_decay=0.0, betas=(0.9, 0.95), eps=1e-3), [2e-3] * STEPS),
        ("sgd", {"weight_decay": 0.01}, dict(weight_decay=0.01), falling),
        ("sgd", {"momentum": 0.9}, dict(momentum=0.9), [0.05] * STEPS),
        ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
         dict(momentum=0.9, nesterov=True, weight_decay=0.1), falling),
        ("adafactor", {}, dict(), falling),
        ("adafactor",
         {"weight_decay": 0.1, "decay_rate": 0.5, "clip_threshold": 1.5, "eps1": 0.25,
          "eps2": 0.75},
         dict(weight_decay=0.1, beta2_decay=-0.5, d=1.5, eps=(0.25, 0.75)), [0.4] * STEPS),
    ]


def run_optimizer(name, kwargs, rates, weights, gradients):
    kinds = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD,
             "adafactor": torch.optim.Adafactor}
    parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    optimizer = kinds[name](parameters, lr=1.0, foreach=False, **kwargs)
    after = {}
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        for parameter, gradient in zip(parameters, gradients[step]):
            parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        if step + 1 in (1, STEPS):
            after[str(step + 1)] = [numbers(p.detach().numpy()) for p in parameters]
    return after


def schedule_cases():
    o = transformers.optimization
    cases = []
    for warmup, total in [(0, 9), (3, 12), (5, 4)]:
        base = {"warmup_steps": warmup}
        cases += [
            (dict(base, name="constant"), total, o.get_constant_schedule_with_warmup, [warmup], {}),
            (dict(base, name="linear"), total, o.get_linear_schedule_with_warmup,
             [warmup, total], {}),
            (dict(base, name="cosine"), total, o.get_cosine_schedule_with_warmup,
             [warmup, total], {}),
        ]
    cases.append((dict(name="cosine", warmup_steps=2, min_lr_ratio=0.1), 11,
                  o.get_cosine_with_min_lr_schedule_with_warmup, [2, 11], dict(min_lr_rate=0.1)))
    for decay in ["linear", "cosine", "1-sqrt"]:
        for ratio in [0.0, 0.2]:
            cases.append((dict(name="wsd", warmup_steps=3, min_lr_ratio=ratio, decay_fraction=0.25,
                               decay=decay), 20,
                          o.get_wsd_schedule, [3, 5],
                          dict(num_training_steps=20, decay_type=decay, min_lr_ratio=ratio)))
    return cases


def run_schedule(make, positional, keywords, total, peak):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = make(optimizer, *positional, **keywords)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])  # the rate of this update
        optimizer.step()
        scheduler.step()
    return rates


def run_clip(random, scale, max_norm):
    gradients = [(scale * random.standard_normal(n)).astype(np.float32) for n in (5, 8)]
    parameters = [torch.nn.Parameter(torch.zeros(g.shape)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients):
        parameter.grad = torch.from_numpy(gradient.copy())
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return {
        "max_norm": max_norm,
        "gradients": [numbers(g) for g in gradients],
        "norm": float(norm),
        "clipped": [numbers(p.grad.numpy()) for p in parameters],
    }


def main():
    random = np.random.default_rng(SEED)
    weights = [(0.5 * random.standard_normal(s)).astype(np.float32) for s in SHAPES]
    # Sizes over four decades, as gradients of a real run have.
    gradients = [[(10.0 ** random.uniform(-3, 1) * random.standard_normal(s)).astype(np.float32)
                  for s in SHAPES] for _ in range(STEPS)]
    goldens = {
        "made_by": {"torch": torch.__version__, "transformers": transformers.__version__,
                    "numpy": np.__version__, "seed": SEED},
        "shapes": SHAPES,
        "weights": [numbers(w) for w in weights],
        "gradients": [[numbers(g) for g in step] for step in gradients],
        "optimizers": [{"name": name, "options": options, "lr": rates,
                        "after": run_optimizer(name, kwargs, rates, weights, gradients)}
                       for name, options, kwargs, rates in optimizer_cases()],
        "schedules": [{"options": options, "total_steps": total, "peak": 2e-4,
                       "lr": run_schedule(make, positional, keywords, total, 2e-4)}
                      for options, total, make, positional, keywords in schedule_cases()],
        "clips": [run_clip(random, scale, max_norm)
                  for scale, max_norm in
                  [(1.0, 1.0), (10.0, 0.5), (0.01, 1.0), (0.0, 1.0), (1.0, 0.0)]],
    }
    path = pathlib.Path(__file__).with_name("goldens.json")
    path.write_text(json.dumps(goldens) + "\n")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
