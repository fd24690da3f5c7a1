"""Tiny random models of every family, batches for them, and their exact arithmetic in PyTorch.

transformers computes norms, rotary angles and softmax in float32 whatever the model's dtype;
`exact()` raises those to float64, so that what is compared against has no rounding of its own worth
speaking of. Packing does not exist here: each document is a batch row of its own, which is what
packed training must reproduce.
"""

import contextlib
import dataclasses
import math

import numpy as np
import torch
import transformers

@dataclasses.dataclass(frozen=True)
class Case:
    """A model and the shape of the batch it is tried on."""

    name: str
    config: transformers.PretrainedConfig
    seed: int
    rows: int = 3
    length: int = 29


def _llama(**options):
    return transformers.LlamaConfig(**{
        "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 6, "vocab_size": 61,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "initializer_range": 0.2, **options})


def _llama3(**options):
    scaling = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
               "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16}
    return _llama(hidden_size=30, num_attention_heads=6, num_key_value_heads=2, head_dim=10,
                  rope_parameters=scaling, **options)


def _qwen2(**options):
    return transformers.Qwen2Config(**{
        "hidden_size": 30, "intermediate_size": 41, "num_hidden_layers": 3,
        "num_attention_heads": 3, "num_key_value_heads": 1, "vocab_size": 67,
        "max_position_embeddings": 64, "initializer_range": 0.2, **options})


def _gpt2(**options):
    return transformers.GPT2Config(**{
        "n_embd": 30, "n_layer": 2, "n_head": 3, "n_inner": 46, "vocab_size": 67,
        "n_positions": 40, "initializer_range": 0.2, "attn_pdrop": 0.0, "embd_pdrop": 0.0,
        "resid_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0, **options})


def _gemma3(**options):
    rope = {"full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
    return transformers.Gemma3TextConfig(**{
        "hidden_size": 26, "intermediate_size": 40, "num_hidden_layers": 3,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 71,
        "max_position_embeddings": 64, "sliding_window": 5, "query_pre_attn_scalar": 20,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": rope, "initializer_range": 0.2,
        # transformers gives the padding token's embedding no gradient; here it is one as others.
        "pad_token_id": None, **options})


def golden_cases():
    """One case per family: what tests/models/golden holds."""
    return [
        Case("gpt2", _gpt2(), 11),
        Case("llama3", _llama3(tie_word_embeddings=False), 12),
        Case("qwen2", _qwen2(num_hidden_layers=2, tie_word_embeddings=True, use_sliding_window=True,
                             sliding_window=7, max_window_layers=1), 13),
        Case("gemma3_text", _gemma3(), 14),
    ]


def live_cases():
    """Every shape that is compared live with transformers."""
    seven_layers = ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"]
    return golden_cases() + [
        Case("gpt2-untied", _gpt2(tie_word_embeddings=False, n_inner=None, vocab_size=53), 21,
             rows=1, length=40),
        Case("llama2-one-kv-head", _llama(tie_word_embeddings=False), 22),
        Case("llama2-biases", _llama(attention_bias=True, mlp_bias=True, num_key_value_heads=4,
                                     head_dim=14, vocab_size=131), 23, rows=2, length=48),
        Case("llama3-tied", _llama3(tie_word_embeddings=True, vocab_size=257), 24, rows=2,
             length=64),
        Case("qwen2-full-attention", _qwen2(tie_word_embeddings=False, num_attention_heads=6,
                                            num_key_value_heads=3, hidden_size=36), 25),
        Case("qwen2-own-head-dim", _qwen2(head_dim=16, tie_word_embeddings=True), 26, rows=5,
             length=17),
        Case("qwen2-window-longer-than-text", _qwen2(use_sliding_window=True, sliding_window=60,
                                                     max_window_layers=0), 27),
        Case("gemma3-window-longer-than-text", _gemma3(sliding_window=50), 28),
        Case("gemma3-seven-layers", _gemma3(hidden_size=24, num_hidden_layers=7,
                                            layer_types=seven_layers, num_attention_heads=6,
                                            num_key_value_heads=2, head_dim=10,
                                            sliding_window=3), 29),
        Case("llama2-one-token", _llama(vocab_size=64, head_dim=8, num_key_value_heads=2), 30,
             rows=1, length=1),
    ]


def make_model(case):
    """Random f32 model on the seed. Norm weights and biases are random too, lest one be unused."""
    torch.manual_seed(case.seed)
    config = case.config.__class__.from_dict(case.config.to_dict())
    config._attn_implementation = "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def make_batch(case):
    """Packed rows: documents of random lengths (one token among them), padding at row ends, masked
    targets. Row 0 is one document without padding, so that long ranges are seen."""
    rng = np.random.default_rng(case.seed)
    count = case.rows * case.length
    tokens = np.zeros(count, np.int64)
    positions = np.zeros(count, np.int64)
    start = np.arange(count)
    targets = np.full(count, -1, np.int64)
    for row in range(case.rows):
        first, end = row * case.length, (row + 1) * case.length
        lengths = [case.length] if row == 0 else document_lengths(rng, case.length)
        for length in lengths:
            span = slice(first, first + length)
            tokens[span] = rng.integers(0, case.config.vocab_size, length)
            positions[span] = np.arange(length)
            start[span] = first
            following = rng.integers(0, case.config.vocab_size, length)
            targets[span] = np.where(rng.random(length) < 0.7, following, -1)
            first += length
        assert first <= end
    if (targets < 0).all():
        targets[0] = 1
    return {"rows": case.rows, "sequence_length": case.length, "tokens": tokens.tolist(),
            "positions": positions.tolist(), "document_start": start.tolist(),
            "targets": targets.tolist()}


def document_lengths(rng, row_length):
    """Documents of one row; what they leave is padding."""
    lengths, left = [1], row_length - 1
    while left > 3:
        lengths.append(int(rng.integers(1, min(left, row_length // 2) + 1)))
        left -= lengths[-1]
    return lengths


@contextlib.contextmanager
def exact():
    """Inside, what transformers asks for in float32 is computed in float64."""
    names = ("float32", "float")
    saved = {name: getattr(torch, name) for name in names}
    saved_method = torch.Tensor.float
    try:
        for name in names:
            setattr(torch, name, torch.float64)
        torch.Tensor.float = torch.Tensor.double
        yield
    finally:
        for name, dtype in saved.items():
            setattr(torch, name, dtype)
        torch.Tensor.float = saved_method


def to_exact(model):
    """Copy of `model` in float64; call it inside exact()."""
    with exact():
        copy = transformers.AutoModelForCausalLM.from_config(model.config, dtype=torch.float64)
    copy.load_state_dict({k: v.double() for k, v in model.state_dict().items()}, strict=False)
    if model.config.tie_word_embeddings:
        copy.tie_weights()
    return copy.eval()


def documents(batch):
    """Tokens and targets [documents, longest], padded behind, where nothing causal sees it."""
    start = np.asarray(batch["document_start"])
    tokens, targets = np.asarray(batch["tokens"]), np.asarray(batch["targets"])
    spans = [np.flatnonzero(start == first) for first in np.unique(start)]
    shape = len(spans), max(len(span) for span in spans)
    document_tokens = torch.zeros(shape, dtype=torch.int64)
    document_targets = torch.full(shape, -1, dtype=torch.int64)
    for i, span in enumerate(spans):
        document_tokens[i, :len(span)] = torch.from_numpy(tokens[span])
        document_targets[i, :len(span)] = torch.from_numpy(targets[span])
    return document_tokens, document_targets


def mean_loss(model, batch):
    """Nats per target; each document is a row of its own."""
    tokens, targets = documents(batch)
    logits = model(tokens, use_cache=False).logits
    picked = targets >= 0
    return torch.nn.functional.cross_entropy(logits[picked], targets[picked])


def prompt_logits(model, tokens):
    """[tokens, vocabulary] of one document."""
    with torch.no_grad():
        return model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()


def program_tensors(model, tensors):
    """`tensors` by Hugging Face name -> by program parameter name, matrices [out,in]."""
    result = {}
    for name, tensor in tensors.items():
        if model.config.model_type != "gpt2":
            result[name] = tensor
            continue
        if ".attn.c_attn." in name:
            rows = tensor.T if tensor.ndim == 2 else tensor
            for letter, part in zip("qkv", rows.chunk(3, dim=0)):
                result[name.replace("c_attn.", f"c_attn#{letter}.")] = part.contiguous()
        elif tensor.ndim == 2 and (".c_proj." in name or ".c_fc." in name):
            result[name] = tensor.T.contiguous()
        else:
            result[name] = tensor
    return result


def parameters(model):
    return {name: p.detach() for name, p in model.named_parameters()}


def gradients(model):
    return {name: p.grad.detach().clone() for name, p in model.named_parameters()}


@dataclasses.dataclass(frozen=True)
class Steps:
    """Updates on one batch."""

    steps: int = 10
    lr: float = 1e-3
    weight_decay: float = 0.1
    clip: float = 1.0
    betas: tuple = (0.9, 0.95)
    # Not 1e-8: Adam divides a gradient by its own size, so elements that are nothing but rounding
    # would step by lr in a direction of chance.
    eps: float = 1e-6


@dataclasses.dataclass
class Trained:
    losses: list  # before each update
    norms: list  # of the gradients, before clipping
    gradients: dict  # of the first step, before clipping
    weights: dict


def train(model, batch, options, around=lambda step: contextlib.nullcontext()):
    """Updates `model`; tensors of the result go by program parameter names. Loss and gradients of
    step s (from 0) are computed inside `around(s)`."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": options.weight_decay},
         {"params": vectors, "weight_decay": 0.0}],
        lr=options.lr, betas=options.betas, eps=options.eps)
    losses, norms, first = [], [], None
    for step in range(options.steps):
        optimizer.zero_grad()
        with around(step):
            loss = mean_loss(model, batch)
            loss.backward()
        losses.append(loss.item())
        first = first or gradients(model)
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
        norms.append(norm)
        if options.clip and norm > options.clip:
            for p in model.parameters():
                p.grad.mul_(options.clip / norm)
        optimizer.step()
    return Trained(losses, norms, program_tensors(model, first),
                   program_tensors(model, parameters(model)))


def vanishing(trained):
    """Parameters whose gradient is zero but for rounding: GPT-2's key bias, which shifts all scores
    of a query alike; queries and keys when no document has two tokens. A relative error says
    nothing of them, and AdamW makes steps of that rounding: only its size can be tested."""
    total = math.sqrt(sum(float(g.square().sum()) for g in trained.gradients.values()))
    return sorted(name for name, g in trained.gradients.items() if float(g.norm()) < 1e-9 * total)


def relative_error(got, expected):
    """Norm of the difference over the norm of what is expected; NaN never passes a comparison."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    assert got.shape == expected.shape, (got.shape, expected.shape)
    scale = np.linalg.norm(expected)
    return float(np.linalg.norm(got - expected) / (scale if scale > 0 else 1.0))
