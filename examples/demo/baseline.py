#!/usr/bin/env python3
"""A linear classifier on the demo's rows: what the fine-tuned model has to beat.

TF-IDF of words (one and two in a row) and of characters (two to five in a row, within words) with
a linear support vector machine: a strong, cheap method for short texts. Learns from the first
--rows rows of the training file, the very rows the model is trained on, and prints one line of
JSON with its accuracy on the held-out file.
"""

import argparse
import json
import time

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC


def read_rows(path, limit):
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = rows[:limit]
    return [row["prompt"] for row in rows], [row["completion"].strip() for row in rows]


def classifier():
    words = TfidfVectorizer(analyzer="word", ngram_range=(1, 2), sublinear_tf=True,
                            token_pattern=r"(?u)\b\w+\b")
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), LinearSVC(C=1.0, random_state=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--rows", type=int, help="first rows of --train (default: all)")
    parser.add_argument("--test-rows", type=int, help="first rows of --test (default: all)")
    options = parser.parse_args()
    start = time.monotonic()
    texts, labels = read_rows(options.train, options.rows)
    test_texts, test_labels = read_rows(options.test, options.test_rows)
    model = classifier().fit(texts, labels)
    guesses = model.predict(test_texts)
    correct = sum(guess == label for guess, label in zip(guesses, test_labels))
    print(json.dumps({"accuracy": correct / len(test_labels), "correct": correct,
                      "rows": len(test_labels), "train_rows": len(texts),
                      "seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    main()
