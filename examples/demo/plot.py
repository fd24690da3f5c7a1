#!/usr/bin/env python3
"""Draws the loss curve of a run: plot.py RUN/metrics.jsonl curve.png

Each step's training loss in grey, its running mean in blue, validation losses as orange points.
"""

import argparse
import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (the backend must be chosen first)


def read_metrics(path):
    """Returns ([(step, loss)], [(step, validation loss)]); a resumed run's later line wins."""
    train, validation = {}, {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            if item.get("loss") is not None:
                train[item["step"]] = item["loss"]
            if item.get("validation_loss") is not None:
                validation[item["step"]] = item["validation_loss"]
    return sorted(train.items()), sorted(validation.items())


def smooth(points, reach):
    """Mean over `reach` steps to either side, fewer at the ends so that nothing lags or leans."""
    values = [value for _, value in points]
    out = []
    for at, (step, _) in enumerate(points):
        width = min(reach, at, len(points) - 1 - at)
        window = values[at - width:at + width + 1]
        out.append((step, sum(window) / len(window)))
    return out


def draw(train, validation, title, path):
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=120)
    axes.plot(*zip(*train), color="0.8", linewidth=1, label="training, each step")
    axes.plot(*zip(*smooth(train, len(train) // 25)), color="tab:blue", linewidth=2,
              label="training, running mean")
    if validation:
        axes.plot(*zip(*validation), color="tab:orange", marker="o", label="held out")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats per target token")
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, format="png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("metrics")
    parser.add_argument("picture")
    parser.add_argument("--title", default="Loss")
    options = parser.parse_args()
    train, validation = read_metrics(options.metrics)
    if not train:
        raise SystemExit(f"[plot] no line with a loss in {options.metrics}")
    draw(train, validation, options.title, options.picture)


if __name__ == "__main__":
    main()
