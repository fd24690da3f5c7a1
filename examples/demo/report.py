#!/usr/bin/env python3
"""Prints what the demo found, from the files that scripts/demo.sh left in its work folder.

`report.py answers WORK` shows some held-out packages with the answers before and after;
`report.py table WORK` prints the final table and writes it to WORK/summary.json;
`report.py same WORK` compares the run, whose weights lie in WORK/weights, bit for bit with the
unbroken run and its weights, and fails where anything differs.
"""

import argparse
import filecmp
import json
import pathlib
import statistics
import struct
import sys
import textwrap

SHOWN = 8
WIDTH = 52


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_rows(path):
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pick(before, after, count):
    """Evenly spaced over the file: neither the best nor the worst are sought out."""
    step = max(len(after) // count, 1)
    return list(zip(before, after))[::step][:count]


def print_answers(work):
    pairs = pick(read_rows(work / "answers-before.jsonl"), read_rows(work / "answers-after.jsonl"),
                 SHOWN)
    print(f"{'package':<{WIDTH}}  {'true':<14}{'before':<24}{'after':<14}")
    for before, after in pairs:
        name, _, rest = after["prompt"].removeprefix("Package: ").partition("\n")
        description = rest.removeprefix("Description: ").partition("\n")[0]
        mark = "" if after["answer"] == after["label"] else "  (wrong)"
        print(f"{textwrap.shorten(name, WIDTH):<{WIDTH}}  {after['label']:<14}"
              f"{textwrap.shorten(before['answer'] or '(nothing)', 22):<24}{after['answer']}{mark}")
        print(f"  {textwrap.shorten(description, WIDTH - 2)}")


def summary(work):
    stages = {stage: {"loss": read_json(work / f"loss-{stage}.json"),
                      "answers": read_json(work / f"accuracy-{stage}.json")}
              for stage in ("before", "after")}
    out = {stage: {"loss": parts["loss"]["loss"], "accuracy": parts["answers"]["accuracy"]}
           for stage, parts in stages.items()}
    classifier = read_json(work / "classifier.json")
    out["classifier"] = {"loss": None, "accuracy": classifier["accuracy"]}
    out["rows"] = {"trained": classifier["train_rows"], "held_out": classifier["rows"]}
    return out


def print_table(work):
    found = summary(work)
    rows = found["rows"]
    names = {"before": "Gemma 3 270M, before", "after": "Gemma 3 270M, fine-tuned",
             "classifier": "TF-IDF linear classifier"}
    print(f"{'':<28}{'held-out loss':>14}{'held-out accuracy':>20}")
    for key, name in names.items():
        loss = found[key]["loss"]
        loss = "-" if loss is None else f"{loss:.3f}"
        print(f"{name:<28}{loss:>14}{found[key]['accuracy']:>20.3f}")
    lead = found["after"]["accuracy"] - found["classifier"]["accuracy"]
    print(f"\ntrained on {rows['trained']:,} rows, measured on {rows['held_out']:,} of other "
          f"source packages;\nthe model is {abs(lead) * 100:.1f} points "
          f"{'above' if lead > 0 else 'below'} the classifier trained on the same rows")
    (work / "summary.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


# What of a line of metrics is arithmetic; time and memory may differ.
ARITHMETIC = ("step", "loss", "validation_loss", "grad_norm", "lr", "tokens", "target_tokens")


def arithmetic_of(rows):
    return [{key: row[key] for key in ARITHMETIC if key in row} for row in rows]


def count_tensors(path):
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return len(header.keys() - {"__metadata__"})


def print_cost(name, rows):
    """The first step is left out: it also brings the weights in."""
    steps = [row for row in rows if "loss" in row][1:]
    seconds = statistics.median(row["seconds"] for row in steps)
    foretold = statistics.median(row["predicted_seconds"] for row in steps)
    peak = max(row["peak_rss_bytes"] for row in steps)
    print(f"{name:<16}{peak / 2 ** 30:8.2f} GiB{seconds:16.2f} s{foretold:12.2f} s")


def print_same(work):
    runs = {name: read_rows(work / name / "metrics.jsonl") for name in ("run", "unbroken-run")}
    arithmetic, expected = (arithmetic_of(rows) for rows in runs.values())
    weights = sorted((work / "weights").glob("*.safetensors"))
    differing = [path.name for path in weights
                 if not filecmp.cmp(path, work / "unbroken-weights" / path.name, shallow=False)]
    print(f"{'':<16}{'peak memory':>12}{'median of a step':>18}{'foretold':>14}")
    for name, rows in runs.items():
        print_cost(name, rows)
    if arithmetic != expected:
        sys.exit("[same] the metrics are not those of the unbroken run")
    if differing or not weights:
        sys.exit(f"[same] weights that differ: {differing if weights else 'none were exported'}")
    validations = sum("validation_loss" in row for row in arithmetic)
    print(f"\nthe same bits as the unbroken run: {len(arithmetic) - validations} losses, "
          f"{validations} validations, all {sum(map(count_tensors, weights))} weight tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["answers", "table", "same"])
    parser.add_argument("work", type=pathlib.Path)
    options = parser.parse_args()
    printers = {"answers": print_answers, "table": print_table, "same": print_same}
    printers[options.what](options.work)


if __name__ == "__main__":
    main()
