"""Tiny random models of every family against transformers, live: logits, loss, every gradient, and
ten AdamW steps, on packed documents with padding. Expected values are computed in float64
(reference_models.exact), where PyTorch has no rounding of its own."""

import dataclasses
import json
import math
import sys

import numpy as np
import pytest
import safetensors.numpy
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "golden"))
import bf16_noise  # noqa: E402
import reference_models  # noqa: E402

# Relative, by norm.
LOGITS, LOSS, GRADIENT, TEN_STEPS = 2e-5, 1e-6, 1e-4, 1e-5
# Of the norm of all gradients, what a gradient that should be zero may be off by: float32's and
# bf16's unit roundoff, with room for the sums they stand in.
VANISHING = {"f32": 1e-6, "bf16": 2.0 ** -8}
STEPS = reference_models.Steps()
CASES = reference_models.live_cases()

torch.set_num_threads(1)  # the models are tiny


@dataclasses.dataclass
class Subject:
    """One case with everything exact about it."""

    case: reference_models.Case
    folder: object
    batch: dict
    batch_file: object
    prompt: list
    logits: np.ndarray
    trained: reference_models.Trained
    vanishing: list
    build: object  # a fresh float64 model


@pytest.fixture(scope="module", params=CASES, ids=[case.name for case in CASES])
def subject(request, tmp_path_factory):
    case = request.param
    folder = tmp_path_factory.mktemp(case.name)
    model = reference_models.make_model(case)
    model.save_pretrained(folder / "model")
    batch = reference_models.make_batch(case)
    (folder / "batch.json").write_text(json.dumps(batch))
    prompt = batch["tokens"][:case.length]
    with reference_models.exact():
        logits = reference_models.prompt_logits(reference_models.to_exact(model), prompt)
        trained = reference_models.train(reference_models.to_exact(model), batch, STEPS)
    return Subject(case, folder / "model", batch, folder / "batch.json", prompt, logits, trained,
                   reference_models.vanishing(trained),
                   lambda: reference_models.to_exact(model))


@pytest.fixture
def take_steps(run_outsize, tmp_path):
    """Ten updates by the program under test, as a reference_models.Trained."""
    def run(subject, dtype):
        gradients, weights = tmp_path / "gradients.safetensors", tmp_path / "weights.safetensors"
        result = run_outsize(
            "debug", "step", subject.folder, "--batch", subject.batch_file, "--dtype", dtype,
            "--steps", STEPS.steps, "--lr", STEPS.lr, "--weight-decay", STEPS.weight_decay,
            "--clip", STEPS.clip, "--betas", ",".join(map(str, STEPS.betas)), "--eps", STEPS.eps,
            "--gradients", gradients, "--weights", weights, "--json", as_json=True)
        return reference_models.Trained(
            result["losses"], result["grad_norms"], safetensors.numpy.load_file(gradients),
            safetensors.numpy.load_file(weights))
    return run


@pytest.fixture
def logits_of(run_outsize, tmp_path):
    def run(subject, dtype):
        file = tmp_path / "logits.npy"
        run_outsize("logits", subject.folder, "--tokens", " ".join(map(str, subject.prompt)),
                    "--out", file, "--dtype", dtype)
        return np.load(file)
    return run


def check_vanishing(subject, got, dtype):
    """Gradients that are zero but for rounding, and the bounded steps AdamW makes of them."""
    names = subject.vanishing
    for name in names:
        size = float(np.linalg.norm(got.gradients[name].astype(np.float64)))
        assert size <= VANISHING[dtype] * subject.trained.norms[0], name
        # A step of Adam is at most lr where 1 - beta1 <= sqrt(1 - beta2) (Kingma & Ba 2015, 2.1).
        moved = np.abs(got.weights[name] - subject.trained.weights[name].numpy()).max()
        assert moved <= 1.001 * STEPS.steps * STEPS.lr, name
    expected = {"gpt2": ".attn.c_attn#k.bias"}.get(subject.case.config.model_type)
    if subject.case.length > 1:
        assert all(expected and name.endswith(expected) for name in names), names


def test_f32_logits(subject, logits_of):
    got = logits_of(subject, "f32")
    assert got.shape == subject.logits.shape and got.dtype == np.float32
    assert reference_models.relative_error(got, subject.logits) <= LOGITS


def test_f32_loss_gradients_and_ten_steps(subject, take_steps):
    got, expected = take_steps(subject, "f32"), subject.trained
    assert got.losses[0] == pytest.approx(expected.losses[0], rel=LOSS)
    assert got.losses == pytest.approx(expected.losses, rel=TEN_STEPS)
    assert got.norms[0] == pytest.approx(expected.norms[0], rel=GRADIENT)
    assert set(got.gradients) == set(expected.gradients)
    assert set(got.weights) == set(expected.weights)
    check_vanishing(subject, got, "f32")
    errors = {}
    for name in expected.gradients:
        if name in subject.vanishing:
            continue
        errors[f"gradient of {name}"] = reference_models.relative_error(
            got.gradients[name], expected.gradients[name]) / GRADIENT
        errors[f"weight {name}"] = reference_models.relative_error(
            got.weights[name], expected.weights[name]) / TEN_STEPS
    worst = max(errors, key=lambda name: errors[name] if errors[name] <= 1 else math.inf)
    assert errors[worst] <= 1, f"{worst}: {errors[worst]} of its tolerance"


def test_bf16_within_the_noise_of_its_rounding(subject, take_steps, logits_of):
    with reference_models.exact():
        allowed = bf16_noise.tolerances(subject.build, subject.batch, subject.prompt, STEPS,
                                        subject.logits, subject.trained)
    assert allowed["logits"] <= 0.1 * np.linalg.norm(subject.logits), "tolerance says nothing"
    assert np.linalg.norm(logits_of(subject, "bf16") - subject.logits) <= allowed["logits"]
    got, expected = take_steps(subject, "bf16"), subject.trained
    assert abs(got.losses[0] - expected.losses[0]) <= allowed["loss"]
    check_vanishing(subject, got, "bf16")
    for what in ("gradients", "weights"):
        errors = bf16_noise.errors_by_kind(getattr(got, what), getattr(expected, what),
                                           skip=subject.vanishing)
        for kind, error in errors.items():
            assert error <= allowed[what][kind], f"{what} of {kind}"
    # Falling as the exact run falls.
    assert got.losses[-1] == pytest.approx(expected.losses[-1], rel=0.02)


def test_exact_reference_is_transformers_own_f32(subject):
    """The float64 reference is the model transformers runs, not one of our making."""
    model = reference_models.make_model(subject.case)
    logits = reference_models.prompt_logits(model, subject.prompt)
    assert reference_models.relative_error(logits, subject.logits) <= LOGITS
    loss = float(reference_models.mean_loss(model, subject.batch).detach())
    assert loss == pytest.approx(subject.trained.losses[0], rel=3e-6)
