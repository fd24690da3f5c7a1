"""Writes a Hugging Face folder with made-up bf16 weights, and a tokenizer as large as its
vocabulary: what loading is timed on without a download. Knows the llama and qwen2 families; needs
nothing but Python. Values are small numbers of both signs and mean nothing.
"""
import json
import pathlib
import random
import struct

PIECE_BYTES = 1 << 20
END = "<|endoftext|>"


def parameters(config):
    """(name, shape) of every tensor, in the order of the file."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim", width // config["num_attention_heads"])
    queries, keys = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    yield "model.embed_tokens.weight", (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (width,)
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            yield f"{prefix}self_attn.{name}_proj.weight", (rows, width)
            if config["model_type"] == "qwen2":
                yield f"{prefix}self_attn.{name}_proj.bias", (rows,)
        yield prefix + "self_attn.o_proj.weight", (width, queries)
        yield prefix + "post_attention_layernorm.weight", (width,)
        yield prefix + "mlp.gate_proj.weight", (inner, width)
        yield prefix + "mlp.up_proj.weight", (inner, width)
        yield prefix + "mlp.down_proj.weight", (width, inner)
    yield "model.norm.weight", (width,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], width)


def write_weights(path, config):
    header, offset = {}, 0
    for name, shape in parameters(config):
        count = 1
        for size in shape:
            count *= size
        header[name] = {"dtype": "BF16", "shape": list(shape),
                        "data_offsets": [offset, offset + 2 * count]}
        offset += 2 * count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    generator = random.Random(1)
    piece = bytearray(generator.randbytes(PIECE_BYTES))
    # The high byte of a bf16 between 0.008 and 0.03, of either sign.
    piece[1::2] = bytes(0x3C | byte & 0x80 for byte in piece[1::2])
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, offset, PIECE_BYTES):
            file.write(piece[:offset - start])


def byte_alphabet():
    """The characters that byte-level BPE writes bytes as."""
    following = 256
    for byte in range(256):
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174
        yield chr(byte if printable else following)
        following += not printable


def write_tokenizer(folder, vocabulary):
    """tokenizer.json of `vocabulary` tokens, of which the merges make all but the bytes."""
    generator = random.Random(1)
    alphabet = list(byte_alphabet())
    tokens, merges = dict.fromkeys(alphabet), []
    spellings = list(alphabet)
    while len(spellings) < vocabulary - 1:
        left, right = generator.choice(spellings), generator.choice(alphabet)
        if len(left) < 12 and left + right not in tokens:
            tokens[left + right] = None
            spellings.append(left + right)
            merges.append(f"{left} {right}")
    ids = {token: number for number, token in enumerate(tokens)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}
    end = {"id": len(ids), "content": END, "special": True, "single_word": False, "lstrip": False,
           "rstrip": False, "normalized": False}
    model = {"type": "BPE", "vocab": ids, "merges": merges}
    pathlib.Path(folder, "tokenizer.json").write_text(
        json.dumps({"version": "1.0", "added_tokens": [end], "normalizer": None,
                    "pre_tokenizer": level, "post_processor": None, "decoder": level,
                    "model": model}, ensure_ascii=False), encoding="utf-8")
    pathlib.Path(folder, "tokenizer_config.json").write_text(json.dumps({"eos_token": END}))


def write_model(folder, config_path):
    """The folder, made if it is not there; returns the path of its weights."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads(pathlib.Path(config_path).read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": 0}))
    write_tokenizer(folder, min(config["vocab_size"], 151_665))
    weights = folder / "model.safetensors"
    write_weights(weights, config)
    return weights
