#!/usr/bin/env python3
"""Makes tests/tokenizer/data: small vocabularies trained with the real libraries, and the ids that
these give for some 400 texts. Needs tokenizers, sentencepiece, llama-cpp-python, gguf, pycountry;
run it again only to change the goldens, in a commit of its own.

    make_goldens.py tests/tokenizer/data
"""

import base64
import importlib.metadata
import io
import json
import pathlib
import random
import sys

import sentencepiece
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import peer_models
import peer_parity

SEED = 20260101
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def training_text():
    lines = []
    for text in peer_parity.translations():
        lines += text.replace("; ", "\n").split("\n")[:60]
    for module in (json, io, random):
        lines += pathlib.Path(module.__file__).read_text().split("\n")
    return lines


def test_texts(rng):
    texts = [t for t in peer_parity.corpus(rng) if len(t) < 200][:150]
    texts += [
        "don't stop <|im_end|> now<|im_end|>\n",
        "x <L> y",
        "a  <R>  b",
        "<W> a<W> <W>b <W>",
        "é <N\u0301> <N\u0301>",
        "<|endoftext|><|endoftext|>",
        "  <|im_start|>user\nhi",
        "\u2581<s>\u2581 </s>",
        "[tool] [ tool ]",
    ]
    return texts + [peer_parity.random_string(rng) for _ in range(250)]


def byte_level(pattern, nfc, ignore_merges, merges, lines):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern:
        split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), split])
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=256 + merges,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer.add_special_tokens([AddedToken(s, normalized=False) for s in SPECIALS])
    tokenizer.add_tokens(
        [
            AddedToken("<L>", lstrip=True, normalized=False),
            AddedToken("<R>", rstrip=True, normalized=False),
            AddedToken("<W>", single_word=True, normalized=False),
            AddedToken("<N\u0301>", normalized=True),
        ]
    )
    return tokenizer


def spaces_to_digits(tokenizer):
    """A pre-tokenizer of several steps with a pattern that is not a published one."""
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\w+|[^\w\s]+"), "merged_with_previous", invert=False),
            pre_tokenizers.Split(" ", "merged_with_next"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False),
        ]
    )
    return tokenizer


def sentence_piece(lines):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=1600,
        byte_fallback=True,
        character_coverage=0.98,
        user_defined_symbols=["\n", "\n\n", "<table>"],
        control_symbols=["<start_of_turn>"],
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def spm_tables(spm):
    size = spm.vocab_size()
    tokens = [spm.id_to_piece(i) for i in range(size)]
    user = ("\n", "\n\n", "<table>")
    types = [
        (
            2
            if spm.is_unknown(i)
            else 3 if spm.is_control(i) else 6 if spm.is_byte(i) else 4 if tokens[i] in user else 1
        )
        for i in range(size)
    ]
    return tokens, [spm.get_score(i) for i in range(size)], types


def spm_as_tokenizer(tokens, scores, types):
    usable = [t if types[i] == 1 else "" for i, t in enumerate(tokens)]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={t: i for i, t in enumerate(tokens)},
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
            merges=peer_models.merges_from_scores(usable, scores),
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(tokens[i], normalized=False) for i in range(len(tokens)) if types[i] in (2, 3)]
    )
    tokenizer.add_tokens(
        [AddedToken(tokens[i], normalized=False) for i in range(len(tokens)) if types[i] == 4]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def write_golden(folder, name, peer, encode, texts):
    special, plain = encode(texts, True), encode(texts, False)
    differs = {str(i): b for i, (a, b) in enumerate(zip(special, plain)) if a != b}
    golden = {
        "peer": f"{peer} {importlib.metadata.version(peer)}",
        "seed": SEED,
        "special": special,
        "plain_where_it_differs": differs,
    }
    (folder / f"{name}.golden.json").write_text(
        json.dumps(golden, separators=(",", ":")).replace("],[", "],\n[") + "\n"
    )


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    rng = random.Random(SEED)
    lines, texts = training_text(), [t.encode() for t in test_texts(rng)]
    (folder / "texts.json").write_text(
        json.dumps([base64.b64encode(t).decode() for t in texts], indent=0) + "\n"
    )
    kinds = {
        "gpt2": (None, False, False),
        "llama3": (peer_models.LLAMA3, False, True),
        "qwen2": (peer_models.QWEN2, True, False),
    }
    made = {name: byte_level(*kind, 600, lines) for name, kind in kinds.items()}
    made["mixed"] = spaces_to_digits(byte_level(None, False, False, 200, lines))
    spm = spm_tables(sentence_piece(lines))
    made["spm"] = spm_as_tokenizer(*spm)
    for name, tokenizer in made.items():
        (folder / name).mkdir(exist_ok=True)
        text = json.loads(tokenizer.to_str())
        (folder / name / "tokenizer.json").write_text(
            json.dumps(text, ensure_ascii=False, separators=(",", ":")) + "\n"
        )
        write_golden(folder, name, "tokenizers", peer_parity.hugging_face(folder / name), texts)
    tokens, scores, types = spm
    peer_models.write_gguf(
        folder / "spm.gguf",
        "llama",
        tokens,
        types,
        scores=scores,
        pre="default",
        add_bos_token=True,
        add_space_prefix=False,
    )
    write_golden(
        folder, "spm.gguf", "llama_cpp_python", peer_parity.llama_cpp(folder / "spm.gguf"), texts
    )
    for name, pre in (("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2")):
        merges = [tuple(m) for m in json.loads(made[name].to_str())["model"]["merges"]]
        peer_models.save_byte_level(folder, name, made[name], merges, pre)
        text = json.loads(made[name].to_str())
        (folder / name / "tokenizer.json").write_text(
            json.dumps(text, ensure_ascii=False, separators=(",", ":")) + "\n"
        )
        path = folder / f"{name}.gguf"
        write_golden(folder, path.name, "llama_cpp_python", peer_parity.llama_cpp(path), texts)


if __name__ == "__main__":
    main()
