"""The real Gemma 3 270M: logits, greedy text and token ids of the program against llama.cpp and
transformers, on the published Q4_K_M file and on what the program exports from it.

By default llama.cpp and transformers judge every greedy token given the tokens before it, which is
what greedy generation compares and takes one pass per prompt; `-m slow` has llama.cpp generate all
texts token by token as well (minutes)."""

import dataclasses
import json
import math
import unittest.mock

import numpy as np
import pytest
import safetensors.numpy
import torch

llama_cpp = pytest.importorskip("llama_cpp")
transformers = pytest.importorskip("transformers")

NEW_TOKENS = 64
LAYERS = 18
# Relative, by norm; beside each, what was measured.
# transformers in f32: sums in another order. 1.1e-6.
F32 = 2e-5
# llama.cpp looks GELU up in a table of f16 (ggml's GGML_GELU_FP16): a relative rounding of up to
# 2^-11 per layer, independent between layers: 2.1e-3. 2.9e-4.
LLAMA_F32 = 2.0 ** -11 * math.sqrt(LAYERS)
# On quantised weights llama.cpp rounds what enters a product to 8 bits in blocks of 32 to 256. The
# largest of a block is some 3 deviations, so a step is 3/127 of one and the rounding step/√12 =
# 0.7 % of it; two products in a row, in two branches of each layer, add up independently: 0.059.
# 0.030.
LLAMA_QUANTISED = 0.007 * math.sqrt(4 * LAYERS)

PROMPTS = [
    "The capital of France is", "def fibonacci(n):\n", "Once upon a time", "1, 2, 3, 5, 8, 13,",
    "Water boils at", "La ville de Paris est", "Die Hauptstadt von Deutschland ist", "日本の首都は",
    "The three laws of thermodynamics are:", "SELECT name FROM users WHERE",
    "Package: libssl-dev\nDescription: Secure Sockets Layer toolkit\nSection:",
    "#include <stdio.h>\n\nint main(", "Dear Sir or Madam,\n\nI am writing to", "Roses are red,",
    "To be, or not to be,", "The derivative of x^2 is", "Q: What is the largest planet?\nA:",
    "{\"name\": \"Alice\", \"age\":", "Привет, как", "In 1969, Neil Armstrong",
]
TEXT = ("The capital of France is Paris. In computing, a compiler is a program that translates "
        "source code from a high-level language to a lower-level one.\ndef fib(n):\n"
        "    return n if n < 2 else fib(n-1) + fib(n-2)\n  1234567 ünïcode 東京 👩‍👩‍👧 \t end")


@dataclasses.dataclass
class Exports:
    folder: object
    gguf: object


@pytest.fixture(scope="module")
def exports(run_outsize, gemma_gguf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    made = Exports(folder / "hf", folder / "f32.gguf")
    run_outsize("export", gemma_gguf, "--format", "hf", "--dtype", "f32", "--out", made.folder)
    run_outsize("export", gemma_gguf, "--format", "gguf", "--dtype", "f32", "--out", made.gguf)
    return made


@pytest.fixture(scope="module")
def in_transformers(exports):
    return transformers.AutoModelForCausalLM.from_pretrained(exports.folder,
                                                             dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def dequantised(gemma_gguf, in_transformers):
    """The GGUF as transformers itself reads it: tensors by name, and config fields."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
    return load_gguf_checkpoint(str(gemma_gguf), return_tensors=True,
                                model_to_load=in_transformers)


@pytest.fixture(scope="module")
def logits_of(run_outsize, tmp_path_factory):
    def run(model, ids):
        file = tmp_path_factory.mktemp("logits") / "x.npy"
        run_outsize("logits", model, "--tokens", " ".join(map(str, ids)), "--out", file,
                    "--dtype", "f32")
        logits = np.load(file)
        file.unlink()
        return logits
    return run


def open_llama(path, context, all_logits=True):
    """llama.cpp with a key/value cache in f32 and no fused attention: its most exact arithmetic.

    Weights stay as the file has them: repacked for tile registers, quantised ones end the process
    (llama-cpp-python 0.3.36).
    """
    default = llama_cpp.llama_cpp.llama_model_default_params

    def as_in_the_file():
        params = default()
        params.use_extra_bufts = False
        return params

    with unittest.mock.patch.object(llama_cpp.llama_cpp, "llama_model_default_params",
                                    as_in_the_file):
        return llama_cpp.Llama(model_path=str(path), n_ctx=context, n_batch=context,
                               n_ubatch=context, logits_all=all_logits,
                               type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32,
                               flash_attn=False, verbose=False)


def llama_logits(model, ids):
    model.reset()
    model.eval(ids)
    return np.array(model.scores[:len(ids)], copy=True)


def torch_logits(model, ids, keep=0):
    """Of the last `keep` tokens; 0: of all."""
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False, logits_to_keep=keep).logits[0].numpy()


def relative_error(got, expected):
    assert got.shape == expected.shape
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="module")
def text_ids(gemma_gguf):
    vocabulary = llama_cpp.Llama(model_path=str(gemma_gguf), vocab_only=True, verbose=False)
    return vocabulary.tokenize(TEXT.encode(), add_bos=True)


@pytest.fixture(scope="module")
def own_logits(logits_of, gemma_gguf, text_ids):
    return logits_of(gemma_gguf, text_ids)


@dataclasses.dataclass
class Text:
    prompt: str
    prompt_ids: list
    new_ids: list


@pytest.fixture(scope="module")
def greedy(run_outsize, gemma_gguf, tmp_path_factory):
    """What the program writes after each prompt."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    file.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in PROMPTS))
    output = run_outsize("generate", gemma_gguf, "--prompts-file", file, "--max-new-tokens",
                         NEW_TOKENS, "--dtype", "f32", "--json")
    vocabulary = llama_cpp.Llama(model_path=str(gemma_gguf), vocab_only=True, verbose=False)
    texts = []
    for prompt, row in zip(PROMPTS, map(json.loads, output.splitlines()), strict=True):
        assert row["prompt"] == prompt
        ids = vocabulary.tokenize(prompt.encode(), add_bos=True)
        assert row["prompt_tokens"] == len(ids)
        assert len(row["tokens"]) == NEW_TOKENS or row["stopped"] == "end"
        texts.append(Text(prompt, ids, row["tokens"]))
    return texts


# ---- Weights -------------------------------------------------------------------------------------

def test_exported_weights_are_what_transformers_dequantises(exports, dequantised):
    loaded = dequantised["tensors"]
    own = safetensors.numpy.load_file(exports.folder / "model.safetensors")
    assert set(own) == set(loaded)
    for name, values in own.items():
        assert np.array_equal(values, loaded[name].numpy()), name


def test_config_is_what_transformers_reads_from_the_gguf(exports, dequantised):
    fields = dequantised["config"]
    known = json.loads((exports.folder / "config.json").read_text())
    compared = {name: value for name, value in fields.items()
                if name in known and name != "model_type"}
    assert len(compared) >= 10
    for name, value in compared.items():
        assert known[name] == pytest.approx(value), name
    # The rest follows from defaults of the architecture: layer kinds and local rotary base too.
    config = transformers.AutoConfig.for_model(**fields)
    exported = transformers.AutoConfig.from_pretrained(exports.folder)
    for name in ("layer_types", "rope_parameters", "query_pre_attn_scalar", "hidden_activation"):
        assert getattr(exported, name) == getattr(config, name), name


# ---- Logits --------------------------------------------------------------------------------------

def test_logits_like_transformers(own_logits, in_transformers, text_ids):
    assert relative_error(own_logits, torch_logits(in_transformers, text_ids)) <= F32


def test_logits_like_llama_cpp_on_the_f32_export(own_logits, exports, text_ids):
    theirs = llama_logits(open_llama(exports.gguf, 128), text_ids)
    assert relative_error(own_logits, theirs) <= LLAMA_F32
    assert np.array_equal(own_logits.argmax(1), theirs.argmax(1))


def test_logits_like_llama_cpp_on_the_quantised_file(own_logits, gemma_gguf, text_ids):
    theirs = llama_logits(open_llama(gemma_gguf, 128), text_ids)
    assert relative_error(own_logits, theirs) <= LLAMA_QUANTISED
    cosine = np.sum(own_logits * theirs) / np.linalg.norm(own_logits) / np.linalg.norm(theirs)
    assert cosine >= 1 - LLAMA_QUANTISED ** 2
    assert (own_logits.argmax(1) == theirs.argmax(1)).mean() >= 0.9


def test_logits_beyond_the_window(logits_of, exports, gemma_gguf, in_transformers, text_ids):
    window = in_transformers.config.sliding_window
    ids = (text_ids * (window // len(text_ids) + 2))[:window + 40]
    own = logits_of(gemma_gguf, ids)[-32:]
    assert relative_error(own, torch_logits(in_transformers, ids, keep=32)) <= F32
    llama = open_llama(exports.gguf, len(ids) + 8, all_logits=False)
    llama.eval(ids)
    last = np.ctypeslib.as_array(llama_cpp.llama_get_logits(llama.ctx), (own.shape[1],))
    assert relative_error(own[-1], last) <= LLAMA_F32


def test_exports_have_the_logits_of_their_source(logits_of, own_logits, exports, text_ids):
    for model in (exports.folder, exports.gguf):
        assert np.array_equal(logits_of(model, text_ids), own_logits)


def test_q8_0_export_in_llama_cpp(run_outsize, own_logits, gemma_gguf, text_ids, tmp_path):
    file = tmp_path / "q8_0.gguf"
    run_outsize("export", gemma_gguf, "--format", "gguf", "--dtype", "q8_0", "--out", file)
    theirs = llama_logits(open_llama(file, 128), text_ids)
    # Weights are rounded to 8 bits as activations are.
    assert relative_error(own_logits, theirs) <= math.sqrt(2) * LLAMA_QUANTISED


# ---- Greedy text ---------------------------------------------------------------------------------

def first_difference(text, logits, noise):
    """Position of the first new token that `logits` [all tokens,V] would not have chosen; ties
    within `noise` count as chosen, and are counted: (position or None, ties)."""
    ties = 0
    for i, token in enumerate(text.new_ids):
        row = logits[len(text.prompt_ids) + i - 1]
        if row.argmax() == token:
            continue
        if row.max() - row[token] > noise:
            return i, ties
        ties += 1
    return None, ties


def judge(greedy, logits_of_ids, noise):
    ties = 0
    for text in greedy:
        logits = logits_of_ids(text.prompt_ids + text.new_ids[:-1])
        position, found = first_difference(text, logits, noise)
        assert position is None, f"{text.prompt!r}: token {position} differs"
        ties += found
    assert ties <= 2, "so many ties are no chance"


def largest_error(got, expected):
    """Of the difference of two logits in a row: twice the largest of one."""
    return 2 * float(np.abs(got - expected).max())


def test_greedy_text_is_transformers_own(greedy, in_transformers, own_logits, text_ids):
    noise = largest_error(own_logits, torch_logits(in_transformers, text_ids))
    assert noise <= 1e-3, "noise that hides differences"
    judge(greedy, lambda ids: torch_logits(in_transformers, ids), noise)


def test_greedy_text_is_llama_cpps_own(greedy, exports, own_logits, text_ids):
    llama = open_llama(exports.gguf, 128)
    noise = largest_error(own_logits, llama_logits(llama, text_ids))
    assert noise <= 0.1, "noise that hides differences"
    judge(greedy, lambda ids: llama_logits(llama, ids), noise)


def generate_with_llama(llama, text):
    """Greedy, a token at a time; stops where it differs from `text` and returns that far."""
    llama.reset()
    llama.eval(text.prompt_ids)
    for i, token in enumerate(text.new_ids):
        row = np.ctypeslib.as_array(llama_cpp.llama_get_logits(llama.ctx), (llama.n_vocab(),))
        if row.argmax() != token:
            return i, float(row.max() - row[token])
        llama.eval([token])
    return len(text.new_ids), 0.0


@pytest.mark.parametrize("share", [
    pytest.param(slice(0, 2), id="two-prompts"),
    pytest.param(slice(2, None), id="all-others", marks=pytest.mark.slow)])
def test_llama_cpp_generates_the_same_text(greedy, exports, own_logits, text_ids, share):
    noise = largest_error(own_logits, llama_logits(open_llama(exports.gguf, 128), text_ids))
    llama = open_llama(exports.gguf, 128, all_logits=False)
    for text in greedy[share]:
        length, gap = generate_with_llama(llama, text)
        assert length == len(text.new_ids) or gap <= noise, (text.prompt, length, gap)


# ---- Token ids -----------------------------------------------------------------------------------

def test_ids_like_llama_cpp_and_the_exported_tokenizer(run_outsize, gemma_gguf, exports, tmp_path):
    llama = llama_cpp.Llama(model_path=str(gemma_gguf), vocab_only=True, verbose=False)
    again = llama_cpp.Llama(model_path=str(exports.gguf), vocab_only=True, verbose=False)
    exported = transformers.AutoTokenizer.from_pretrained(exports.folder)
    file = tmp_path / "text.txt"
    for text in [*PROMPTS, TEXT]:
        file.write_text(text)
        ids = run_outsize("tokenize", gemma_gguf, "--file", file, "--json", as_json=True)["ids"]
        assert ids == llama.tokenize(text.encode(), add_bos=False), text
        assert ids == again.tokenize(text.encode(), add_bos=False), text
        assert ids == exported(text, add_special_tokens=False)["input_ids"], text
        assert exported(text)["input_ids"] == [exported.bos_token_id, *ids]
        assert exported.decode(ids) == text
