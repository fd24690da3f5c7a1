#!/usr/bin/env python3
"""Prints what the demo found, from the files that scripts/demo.sh left in its work folder.

`report.py answers WORK` shows some held-out packages with the answers before and after;
`report.py table WORK` prints the final table and writes it to WORK/summary.json.
"""

import argparse
import json
import pathlib
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["answers", "table"])
    parser.add_argument("work", type=pathlib.Path)
    options = parser.parse_args()
    {"answers": print_answers, "table": print_table}[options.what](options.work)


if __name__ == "__main__":
    main()
