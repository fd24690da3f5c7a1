"""What the tests of the program share: tiny models and data made on the spot, the program run with
its exit status and text kept, and readers for the files it writes. Standard library only."""

import json
import math
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["OUTSIZE_PROGRAM"]
SANITIZER = os.environ.get("OUTSIZE_TEST_SANITIZER", "")
SLOW = 10 if SANITIZER else 1  # times a wait
END = "<|endoftext|>"
VOCABULARY = 261  # 256 bytes, the end token, and rows that no token uses

FAMILIES = {
    "gpt2": {"model_type": "gpt2", "n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 128,
             "vocab_size": VOCABULARY, "initializer_range": 0.1},
    "llama": {"model_type": "llama", "hidden_size": 24, "intermediate_size": 40,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "head_dim": 8, "vocab_size": VOCABULARY, "max_position_embeddings": 128,
              "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "initializer_range": 0.1},
    "qwen2": {"model_type": "qwen2", "hidden_size": 24, "intermediate_size": 40,
              "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1,
              "vocab_size": VOCABULARY, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
              "tie_word_embeddings": True, "initializer_range": 0.1},
    "gemma3_text": {"model_type": "gemma3_text", "hidden_size": 24, "intermediate_size": 40,
                    "num_hidden_layers": 6, "num_attention_heads": 2, "num_key_value_heads": 1,
                    "head_dim": 16, "vocab_size": VOCABULARY, "max_position_embeddings": 128,
                    "sliding_window": 5, "query_pre_attn_scalar": 16, "initializer_range": 0.1},
}


def byte_tokenizer():
    """tokenizer.json whose tokens are the bytes, and the end token after them."""
    vocabulary, following = {}, 256
    for byte in range(256):
        printable = 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174
        vocabulary[chr(byte if printable else following)] = byte
        following += not printable
    vocabulary[END] = 256
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    added = {"id": 256, "content": END, "special": True, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False}
    return {"version": "1.0", "added_tokens": [added], "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}


def write_model(folder, family="llama", **changes):
    """A folder with config.json and tokenizer, no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**FAMILIES[family], "eos_token_id": 256, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(byte_tokenizer(), ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": END}))
    return folder


WORDS = "the a cat dog sees finds big red small moon sun over under and runs sleeps".split()


def sentence(generator, words):
    return " ".join(generator.choice(WORDS) for _ in range(words))


def write_rows(path, count, seed, kind="completion"):
    """A JSONL file; kind: text, completion or mixed."""
    generator = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for row in range(count):
            text = sentence(generator, generator.randint(1, 6))
            if kind == "text" or (kind == "mixed" and row % 2):
                file.write(json.dumps({"text": text}) + "\n")
            else:
                file.write(json.dumps({"prompt": text + " =>",
                                       "completion": " " + sentence(generator, 2)}) + "\n")
    return path


class Result:
    def __init__(self, status, out, err, peak_rss_bytes):
        self.status, self.out, self.err = status, out, err
        self.peak_rss_bytes = peak_rss_bytes

    def json(self):
        return json.loads(self.out)


class Process:
    """A running program whose output goes to files, so that no pipe can fill up."""

    def __init__(self, *arguments, cwd=None, preexec=None, env=None):
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.arguments = [PROGRAM, *map(str, arguments)]
        # A process's peak memory starts from its parent's when it is forked; vfork, which
        # subprocess uses without preexec_fn, replaces the image before anything is counted.
        self.process = subprocess.Popen(
            self.arguments, cwd=cwd, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
            preexec_fn=preexec, env={**os.environ, **(env or {})})

    def running(self):
        return self.process.returncode is None and os.waitid(
            os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def send(self, signal):
        os.kill(self.process.pid, signal)

    def wait(self):
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
            file.close()
        return Result(self.process.returncode, *texts, usage.ru_maxrss * 1024)


def outsize(*arguments, **options):
    return Process(*arguments, **options).wait()


def yaml_of(value):
    """Flow-style YAML, which JSON is."""
    return json.dumps(value)


def read_safetensors(path):
    """name -> (dtype, shape, bytes)"""
    data = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], tuple(entry["shape"]),
                   data[8 + length:][slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def write_safetensors(path, tensors):
    """The reverse of read_safetensors."""
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape),
                        "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def read_npy(path):
    """(shape, values) of a little-endian f32 file."""
    data = pathlib.Path(path).read_bytes()
    assert data[:6] == b"\x93NUMPY"
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10:10 + length].decode()
    assert "'<f4'" in header and "False" in header, header
    sizes = header.split("(")[1].split(")")[0].split(",")
    shape = tuple(int(size) for size in sizes if size.strip())
    values = floats(data[10 + length:])
    assert len(values) == math.prod(shape)
    return shape, values


def metrics(run):
    """(step lines, evaluation lines) of a run folder."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return ([row for row in rows if "loss" in row], [row for row in rows if "loss" not in row])


def arithmetic_of(run):
    """The metrics that must not depend on when or where a run was interrupted."""
    steps, evaluations = metrics(run)
    keys = ("step", "loss", "target_tokens", "tokens", "grad_norm", "lr")
    return ([tuple(row[key] for key in keys) for row in steps],
            [(row["step"], row["validation_loss"], row["target_tokens"]) for row in evaluations])


def checkpoints(run):
    return sorted((path for path in (run / "checkpoints").glob("step-*")
                   if path.name[5:].isdigit()), key=lambda path: int(path.name[5:]))


class ProgramTest(unittest.TestCase):
    """A test with a folder of its own, `self.work`."""

    maxDiff = 4000

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="outsize-cli-test-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)

    def ok(self, *arguments, **options):
        result = outsize(*arguments, **options)
        self.assertEqual(result.status, 0, result.err)
        return result

    def refused(self, status, *arguments, says=(), **options):
        """The program ends with `status` and one line on standard error that has every text."""
        result = outsize(*arguments, **options)
        self.assertEqual(result.status, status, result.err + result.out)
        lines = [line for line in result.err.splitlines() if line]
        self.assertTrue(lines, "no message")
        message = lines[-1]
        for text in says:
            self.assertIn(str(text), message)
        for word in ("terminate called", "Sanitizer", "json.exception", "stack", "what():",
                     "basic_string", "filesystem error", "std::"):
            self.assertNotIn(word, result.err)
        return result

    def write_config(self, name, **changes):
        """A run's YAML on the tiny model; changes: dotted keys, with __ for the dot."""
        config = {
            "model": str(self.work / "model"), "init": "random",
            "data": {"train": str(self.work / "train.jsonl"), "sequence_length": 48},
            "train": {"steps": 12, "global_batch": 4, "microbatch": 4, "dtype": "f32", "seed": 3,
                      "optimizer": {"name": "adamw", "lr": 3e-3},
                      "schedule": {"name": "cosine", "warmup_steps": 2}},
            "run": str(self.work / name), "threads": 1}
        for key, value in changes.items():
            *parents, last = key.split("__")
            place = config
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
        path = self.work / f"{name}.yaml"
        path.write_text(yaml_of(config))
        return path

    def tiny(self, family="llama", rows=60, kind="mixed", **changes):
        """A model without weights, training and validation rows."""
        write_model(self.work / "model", family, **changes)
        write_rows(self.work / "train.jsonl", rows, 1, kind)
        write_rows(self.work / "valid.jsonl", 9, 2, kind)

    made = {}  # family and changes -> folder with what with_weights() made

    def with_weights(self, family="llama", **changes):
        """A Hugging Face folder with random weights, and beside it the run they come from: trained
        for a few steps and exported, once for all tests."""
        self.tiny(family, **changes)
        key = json.dumps([family, changes])
        if key not in self.made:
            store = pathlib.Path(tempfile.mkdtemp(prefix="outsize-cli-models-"))
            unittest.addModuleCleanup(shutil.rmtree, store)
            self.ok("train", self.write_config("made", train__steps=3, run=str(store / "made")))
            self.ok("export", store / "made", "--format", "hf", "--dtype", "f32", "--out",
                    store / "weights")
            self.made[key] = store
        for name in ("made", "weights"):
            shutil.copytree(self.made[key] / name, self.work / f"{name}-{family}",
                            dirs_exist_ok=True)
        return self.work / f"weights-{family}"
