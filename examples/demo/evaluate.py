#!/usr/bin/env python3
"""Held-out accuracy of the section that a model writes for a package it has not seen.

Has `outsize generate` answer all prompts of a JSONL file in one go and counts the answers that are
the label: the first line of the generated text, without surrounding blanks. Prints one line of
JSON; --answers keeps what was generated, one {"prompt", "label", "answer"} a line.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

MAX_NEW_TOKENS = 6  # the longest section is four tokens, and an end token follows


def read_rows(path, limit):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in itertools.islice(lines, limit)]


def first_line(text):
    return text.strip().split("\n")[0].strip()


def generate(outsize, model, rows, folder):
    """The generated text of each row, in order; greedy."""
    prompts = pathlib.Path(folder, "prompts.jsonl")
    with prompts.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps({"prompt": row["prompt"]}, ensure_ascii=False) + "\n")
    command = [outsize, "generate", model, "--prompts-file", str(prompts),
               "--max-new-tokens", str(MAX_NEW_TOKENS), "--json"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    texts = [json.loads(line)["completion"] for line in printed.splitlines() if line.strip()]
    if len(texts) != len(rows):
        sys.exit(f"[evaluate] {len(texts)} completions printed; expected {len(rows)}, one a prompt")
    return texts


def score(rows, texts):
    answers = [{"prompt": row["prompt"], "label": row["completion"].strip(),
                "answer": first_line(text)} for row, text in zip(rows, texts)]
    return answers, sum(item["answer"] == item["label"] for item in answers)


def write_answers(path, answers):
    temporary = f"{path}.part"
    with open(temporary, "w", encoding="utf-8") as out:
        for item in answers:
            out.write(json.dumps(item, ensure_ascii=False) + "\n")
    os.replace(temporary, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default="outsize", help="the program")
    parser.add_argument("--model", required=True, help="Hugging Face folder, GGUF or run folder")
    parser.add_argument("--data", required=True, help="JSONL of prompt and completion")
    parser.add_argument("--rows", type=int, help="first rows of --data (default: all)")
    parser.add_argument("--answers", help="write the answers to this file")
    options = parser.parse_args()
    rows = read_rows(options.data, options.rows)
    if not rows:
        sys.exit(f"[evaluate] no rows in {options.data}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        texts = generate(options.outsize, options.model, rows, folder)
    answers, correct = score(rows, texts)
    if options.answers:
        write_answers(options.answers, answers)
    print(json.dumps({"accuracy": correct / len(rows), "correct": correct, "rows": len(rows),
                      "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    main()
