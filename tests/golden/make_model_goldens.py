"""Writes tests/models/golden: a tiny model per family with its exact logits, loss, gradients and
weights after ten AdamW steps, so that parity with PyTorch stays tested where PyTorch is not.

Run with torch and transformers installed: python make_model_goldens.py. Per family:
  config.json, model.safetensors   as transformers saves them
  batch.json                       what `outsize debug step --batch` takes
  golden.safetensors               logits [tokens,V], gradient/NAME, weight/NAME, as f32
  golden.json                      the rest, tolerances of bf16 (bf16_noise.py), versions and seed
"""

import dataclasses
import datetime
import json
import pathlib
import shutil

import numpy as np
import safetensors
import safetensors.numpy
import torch
import transformers

import bf16_noise
import reference_models

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "models" / "golden"


def write_case(case, folder):
    model = reference_models.make_model(case)
    model.save_pretrained(folder)
    for extra in folder.glob("generation_config.json"):
        extra.unlink()
    batch = reference_models.make_batch(case)
    (folder / "batch.json").write_text(json.dumps(batch) + "\n")
    prompt = batch["tokens"][:case.length]
    options = reference_models.Steps()
    with reference_models.exact():
        build = lambda: reference_models.to_exact(model)  # noqa: E731
        logits = reference_models.prompt_logits(build(), prompt)
        exact = reference_models.train(build(), batch, options)
        tolerances = bf16_noise.tolerances(build, batch, prompt, options, logits, exact)
    tensors = {"logits": logits}
    tensors.update({f"gradient/{name}": g.numpy() for name, g in exact.gradients.items()})
    tensors.update({f"weight/{name}": w.numpy() for name, w in exact.weights.items()})
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()},
        folder / "golden.safetensors")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)
    (folder / "golden.json").write_text(json.dumps({
        "prompt": prompt, "losses": exact.losses, "gradient_norms": exact.norms,
        "optimizer": dataclasses.asdict(options), "bf16_tolerances": tolerances,
        "vanishing": reference_models.vanishing(exact), "seed": case.seed,
        "torch": torch.__version__, "transformers": transformers.__version__,
        "safetensors": safetensors.__version__, "numpy": np.__version__,
        "written": datetime.date.today().isoformat()}, indent=1) + "\n")


def main():
    torch.set_num_threads(1)
    shutil.rmtree(FOLDER, ignore_errors=True)
    for case in reference_models.golden_cases():
        folder = FOLDER / case.name
        folder.mkdir(parents=True)
        write_case(case, folder)
    total = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER}: {total} bytes")


if __name__ == "__main__":
    main()
