#!/usr/bin/env python3
"""Compares ids with the tokenizers library and llama.cpp on real vocabularies.

    peer_parity.py --tool build/tests/tokenizer/tokenize_tool --strings 100000

Then exports every vocabulary in the other format and compares again: folders made from GGUF are
loaded by transformers, GGUF files made from folders by llama.cpp.

Over a corpus of at least 1 MB (many languages, emoji with joiners, control characters, runs of
spaces and digits, code, special tokens inside text, empty texts) and random strings. Prints the
first differences; exit code 1 on any. --work keeps the vocabularies for the next run.
"""

import argparse
import gettext
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unicodedata

import peer_models

SPECIALS = [
    "<|endoftext|>",
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|im_start|>",
    "<|im_end|>",
    "<s>",
    "</s>",
    "<unk>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<tool_call>",
    "</tool_call>",
    "<unused5>",
    "<table>",
    "</h1>",
    "<0x0A>",
    "[multimodal]",
]
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇯🇵", "❤️", "🧑‍🚀", "☃", "1️⃣"]
RANGES = [
    (0x20, 0x7F),
    (0x20, 0x7F),
    (0xA0, 0x250),
    (0x300, 0x370),
    (0x370, 0x530),
    (0x590, 0x700),
    (0x900, 0xE00),
    (0xE00, 0x1200),
    (0x1E00, 0x2100),
    (0x2000, 0x2070),
    (0x2100, 0x2C00),
    (0x3000, 0x3100),
    (0x4E00, 0x9FA0),
    (0xAC00, 0xD7A4),
    (0xF900, 0xFFFE),
    (0x1D400, 0x1D800),
    (0x1F300, 0x1FA00),
    (0x20000, 0x20100),
    (0x0, 0x20),
    (0x80, 0xA0),
]


# Marks newer than the libraries' tables, which they order differently.
NEW_MARKS = re.compile(
    "[\u07fd\u0898-\u089f\u08ca-\u08d3\u09fe\u0c3c\u0d3b\u0d3c\u0eba\u1715\u1abf-\u1ace]"
)


def translations():
    """Names of countries and languages in some 100 languages."""
    root = peer_models.package_file("pycountry", "locales")
    for path in sorted(root.glob("*/LC_MESSAGES/iso*.mo")):
        with open(path, "rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog
        yield "; ".join(str(v) for v in catalog.values() if v)


def corpus(rng):
    """Documents of 0 to 20,000 characters, 1.5 MB and more."""
    documents = [
        "",
        " ",
        "\n",
        "\0",
        "a",
        "  a  ",
        "\u2581",
        " \u2581 \u2581\u2581",
        "'s'S\u017f'\u017f",
        "e\u0301\u0323 \u1100\u1161\u11a8 \u212b \ufb01 \u0958",
        "\u200d\u200c\ufeff\u00ad",
    ]
    for text in translations():
        documents.append(text[:8000])
    for module in (argparse, gettext, json, pathlib, random, subprocess, tempfile):
        documents.append(pathlib.Path(module.__file__).read_text()[:20000])
    for n in (1, 2, 3, 7, 40, 1000, 5000):
        for run in (
            " ",
            "\n",
            "\t",
            "7",
            "a",
            "=",
            " \n",
            "\r\n",
            "\u00a0",
            "\u0301",
            "é",
            "語",
            "👍",
            "\u2581",
        ):
            documents += [run * n, "x" + run * n + "y", run * n + "1 word"]
    documents += ["".join(map(chr, range(a, b))) for a, b in ((0, 0x250), (0x2000, 0x2C00))]
    for _ in range(300):
        words = rng.choices(
            EMOJI
            + SPECIALS
            + [
                "Hello",
                "don't",
                "WE'LL",
                "x=3.14159;",
                "  ",
                "\n",
                "12345",
                "naïve",
                "日本語",
                "привет",
                "مرحبا",
                "हिन्दी",
            ],
            k=60,
        )
        documents.append(rng.choice(["", " "]).join(words))
    return documents


def random_string(rng):
    out = []
    for _ in range(rng.randint(0, 12)):
        kind = rng.random()
        if kind < 0.08:
            out.append(rng.choice(SPECIALS))
        elif kind < 0.14:
            out.append(rng.choice(EMOJI))
        elif kind < 0.30:
            out.append(
                rng.choice([" ", "\n", "\r\n", "\t", "'", "\u00a0", "\u3000", "\u0301"])
                * rng.randint(1, 4)
            )
        elif kind < 0.40:
            out.append(str(rng.randint(0, 10 ** rng.randint(1, 12))))
        elif kind < 0.50:
            out.append(
                rng.choice(["'s", "'LL", "'Re", "don't", "I'VE", "\u2581", "\u2581the", "'\u017f"])
            )
        else:
            low, high = rng.choice(RANGES)
            out.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 8))))
    return "".join(out)


def ours(tool, model, texts, special):
    data = b"".join(b"%d\n%s" % (len(t), t) for t in texts)
    command = [tool, str(model)] + (["--special"] if special else [])
    lines = subprocess.run(
        command, input=data, stdout=subprocess.PIPE, check=True
    ).stdout.splitlines()
    assert len(lines) == len(texts), (len(lines), len(texts))
    return [json.loads(line) for line in lines]


def hugging_face(path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))

    def encode(texts, special):
        tokenizer.encode_special_tokens = not special
        texts = [t.decode("utf-8", errors="replace") for t in texts]
        return [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]

    return encode


def llama_cpp(path):
    from llama_cpp import Llama

    model = Llama(str(path), vocab_only=True, verbose=False)
    return lambda texts, special: [
        model.tokenize(t, add_bos=False, special=special) if t else [] for t in texts
    ]


def transformers(path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(path))
    return lambda texts, special: tokenizer([t.decode() for t in texts], add_special_tokens=False)[
        "input_ids"
    ]


def same_in_both(data):
    """Text on which the two libraries agree by themselves: llama.cpp does not normalize, nor fold
    U+017F, and takes Qwen's ordinary token </s> for a control token."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return (
        "'\u017f" not in text
        and "</s>" not in text
        and unicodedata.normalize("NFC", text) == text
        and not NEW_MARKS.search(text)
    )


def compare_exports(tool, work, name, texts):
    """(passed, failed) of the exported twins of vocabulary `name`."""
    passed = failed = 0
    texts = [t for t in texts if same_in_both(t)]
    for path, flag, target, load in (
        (work / f"{name}.gguf", "--export-hf", work / "exported" / name, transformers),
        (work / name, "--export-gguf", work / "exported" / f"{name}.gguf", llama_cpp),
    ):
        if not path.exists():
            continue
        target.parent.mkdir(exist_ok=True)
        subprocess.run([tool, str(path), flag, str(target)], check=True)
        mine, theirs = ours(tool, path, texts, True), load(target)(texts, True)
        bad = compare(f"{path.name} {flag}", mine, theirs, texts)
        print(f"{path.name} {flag}: {len(texts)} texts, {bad} differ", flush=True)
        passed, failed = passed + len(texts) - bad, failed + bad
    return passed, failed


def compare(name, mine, theirs, texts):
    failed = 0
    for text, a, b in zip(texts, mine, theirs):
        if a != b:
            failed += 1
            if failed <= 3:
                at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
                print(
                    f"  {name}: {text[:200]!r} differs at id {at}: {a[at:at + 8]} != {b[at:at + 8]}"
                )
    return failed


def parse_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--strings", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", help="folder for the vocabularies, kept; default: none stay")
    parser.add_argument("--only", help="one vocabulary by name")
    return parser.parse_args()


def compare_all(options, work):
    """Both tokenizers of every vocabulary, made in `work`: how many texts agree, and do not."""
    rng = random.Random(options.seed)
    texts = [t.encode() for t in corpus(rng)]
    assert sum(map(len, texts)) >= 1_000_000
    texts += [random_string(rng).encode() for _ in range(options.strings)]
    # Without the bytes by which llama.cpp reads code points above U+10FFFF: they abort it.
    values = [b for b in range(256) if not 0xF4 <= b <= 0xF7]
    broken = [
        bytes(rng.choices(values, k=rng.randint(1, 30))) for _ in range(options.strings // 20)
    ]
    passed = failed = 0
    for name, make in peer_models.MAKERS.items():
        if options.only and name != options.only:
            continue
        make(work)
        for path in sorted(work.iterdir()):
            if path.name not in (name, f"{name}.gguf") and not (
                name == "mistral" and path.name == "metaspace"
            ):
                continue
            peer = hugging_face(path) if path.is_dir() else llama_cpp(path)
            for special in (True, False):
                inputs = texts + broken
                mine, theirs = ours(options.tool, path, inputs, special), peer(inputs, special)
                bad = compare(f"{path.name} special={special}", mine, theirs, inputs)
                print(
                    f"{path.name} special={special}: {len(inputs)} texts, "
                    f"{sum(map(len, inputs))} bytes, "
                    f"{sum(map(len, mine))} ids, {bad} differ",
                    flush=True,
                )
                passed, failed = passed + len(inputs) - bad, failed + bad
        good, bad = compare_exports(options.tool, work, name, texts)
        passed, failed = passed + good, failed + bad
    return passed, failed


def main():
    options = parse_options()
    if options.work:
        work = pathlib.Path(options.work)
        work.mkdir(parents=True, exist_ok=True)
        passed, failed = compare_all(options, work)
    else:
        with tempfile.TemporaryDirectory() as work:
            passed, failed = compare_all(options, pathlib.Path(work))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
