"""How far bf16 arithmetic may stray, found by putting its rounding into the exact model.

A bf16 value is off by at most u = 2^-8 of itself. So every weight matrix, every value that passes
between operations on its way forward, and every cotangent on its way back is multiplied by 1 + u·r
with r uniform in [-1, 1], in float64. What results strays from the exact result as an honest bf16
run strays: by epsilon, times what layers, lengths and norms of this very model make of it. A few
such draws give the size of the error; TOLERANCE_FACTOR times that is the tolerance.
"""

import contextlib
import math
import re

import numpy as np
import torch

import reference_models

UNIT = 2.0 ** -8
FORWARD_DRAWS = 16
TRAINING_DRAWS = 4
TOLERANCE_FACTOR = 3.0
ROUNDED_MODULES = ("Linear", "Conv1D", "Embedding", "Norm", "DecoderLayer", "GPT2Block",
                   "Activation", "SiLU", "GELU")


class _Noise(torch.autograd.Function):
    """Multiplies by 1 + u·r, forward where asked and backward always."""

    @staticmethod
    def forward(ctx, x, generator, also_forward):
        ctx.generator = generator
        return x * _factor(x, generator) if also_forward else x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * _factor(gradient, ctx.generator), None, None


def _factor(x, generator):
    return 1 + UNIT * (2 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 1)


def _noisy(value, generator, also_forward=True):
    if isinstance(value, tuple):
        return (_noisy(value[0], generator, also_forward), *value[1:])
    return _Noise.apply(value, generator, also_forward)


@contextlib.contextmanager
def noise(model, seed):
    """Inside, `model` computes as if it rounded to bf16, with random roundings."""
    generator = torch.Generator().manual_seed(seed)
    hooks = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if name == "lm_head":  # logits are f32; their cotangent is rounded
            hooks.append(module.register_forward_hook(
                lambda m, i, out: _noisy(out, generator, also_forward=False)))
        elif any(word in kind for word in ROUNDED_MODULES):
            hooks.append(module.register_forward_hook(
                lambda m, i, out: _noisy(out, generator)))
        if name.endswith(("o_proj", "attn.c_proj", "down_proj")):  # attention, gated product
            hooks.append(module.register_forward_pre_hook(
                lambda m, inputs: (_noisy(inputs[0], generator), *inputs[1:])))
        if name.endswith(("q_proj", "k_proj")):  # rotated values
            hooks.append(module.register_forward_hook(
                lambda m, i, out: _noisy(out, generator)))
    masters = [(p, p.data) for p in model.parameters() if p.ndim >= 2]
    for parameter, _ in masters:
        parameter.data = parameter.data * _factor(parameter.data, generator)
    try:
        yield
    finally:
        for parameter, data in masters:
            parameter.data = data
        for hook in hooks:
            hook.remove()


def kind_of(name):
    """Tensors that differ only in their layer are of one kind."""
    return re.sub(r"\.\d+\.", ".*.", name)


def errors_by_kind(got, expected, skip=()):
    """Norm of all differences of a kind together."""
    squares = {}
    for name in expected:
        if name in skip:
            continue
        error = float(np.square(np.asarray(got[name], np.float64) -
                                np.asarray(expected[name], np.float64)).sum())
        squares[kind_of(name)] = squares.get(kind_of(name), 0.0) + error
    return {kind: math.sqrt(value) for kind, value in squares.items()}


def _tolerance(draws):
    return TOLERANCE_FACTOR * math.sqrt(sum(v * v for v in draws) / len(draws))


def tolerances(exact_model, batch, tokens, options, exact_logits, exact):
    """Norms of error allowed: of the logits of `tokens`, of the first loss, and by kind of the
    first gradients and of the weights after the steps.

    `exact_model` builds a fresh float64 model; `exact` is reference_models.Trained of it."""
    logits, losses, gradients, weights = [], [], [], []
    model = exact_model()
    for draw in range(FORWARD_DRAWS):
        with noise(model, draw), torch.no_grad():
            got = reference_models.prompt_logits(model, tokens)
            logits.append(float(np.linalg.norm(got - exact_logits)))
            losses.append(float(reference_models.mean_loss(model, batch)) - exact.losses[0])
    for draw in range(1, TRAINING_DRAWS + 1):
        model = exact_model()
        trained = reference_models.train(
            model, batch, options, lambda step: noise(model, 1000 * draw + step))  # noqa: B023
        gradients.append(errors_by_kind(trained.gradients, exact.gradients))
        weights.append(errors_by_kind(trained.weights, exact.weights))
    return {"logits": _tolerance(logits), "loss": _tolerance(losses),
            "gradients": {k: _tolerance([d[k] for d in gradients]) for k in gradients[0]},
            "weights": {k: _tolerance([d[k] for d in weights]) for k in weights[0]}}
