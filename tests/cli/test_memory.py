"""Peak memory stays under what the plan says, in every phase; what does not fit is refused."""

import json
import os
import random
import struct
import unittest

import support
from support import ProgramTest, metrics, write_model

SEED = 5
CONFIGURATIONS = 20
MIB = 1 << 20


def random_run(generator):
    """Changes to model and run; most arenas are some hundred MiB, so that a copy too many shows."""
    family = generator.choice(list(support.FAMILIES))
    width = 32 * generator.randint(2, 9)
    layers = generator.randint(1, 4)
    vocabulary = generator.choice([261, 4001, 30011])
    length = generator.choice([48, 65, 128, 256])
    microbatch = generator.choice([1, 2, 4])
    accumulation = generator.choice([1, 2])
    if family == "gpt2":
        model = {"n_embd": width, "n_layer": layers, "n_head": 4, "n_positions": 512}
    else:
        model = {"hidden_size": width, "intermediate_size": width * 3,
                 "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
                 "head_dim": 32, "max_position_embeddings": 512}
        if family == "gemma3_text":
            model["layer_types"] = ["sliding_attention", "full_attention"] * 2
            model["layer_types"] = model["layer_types"][:layers]
    optimizer = {"name": generator.choice(["adamw", "sgd", "adafactor"]), "lr": 1e-3}
    run = {"data__sequence_length": length, "train__global_batch": microbatch * accumulation,
           "train__microbatch": microbatch, "train__dtype": generator.choice(["f32", "bf16"]),
           "train__optimizer": optimizer, "train__steps": 2, "threads": generator.choice([1, 2]),
           "train__save_every": 1}
    return family, {**model, "vocab_size": vocabulary}, run


def write_large_weights(folder, width=640, layers=8, vocabulary=50003):
    """A Llama folder whose weights (zeros) exceed what the process may hold beside its plan."""
    write_model(folder, "llama", hidden_size=width, intermediate_size=3 * width,
                num_hidden_layers=layers, num_attention_heads=10, num_key_value_heads=5,
                head_dim=width // 10, vocab_size=vocabulary, tie_word_embeddings=False)
    shapes = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,),
              "lm_head.weight": (vocabulary, width)}
    for layer in range(layers):
        for name, shape in {
                "input_layernorm": (width,), "post_attention_layernorm": (width,),
                "self_attn.q_proj": (width, width), "self_attn.k_proj": (width // 2, width),
                "self_attn.v_proj": (width // 2, width), "self_attn.o_proj": (width, width),
                "mlp.gate_proj": (3 * width, width), "mlp.up_proj": (3 * width, width),
                "mlp.down_proj": (width, 3 * width)}.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)  # holes: no time, no disk
    return offset


@unittest.skipIf(support.SANITIZER, "a sanitizer keeps memory of its own")
class Memory(ProgramTest):
    def test_training_stays_within_its_plan(self):
        seed = int(os.environ.get("OUTSIZE_TEST_SEED", SEED))
        print(f"seed {seed}", flush=True)
        generator = random.Random(seed)
        most = 0
        for number in range(CONFIGURATIONS):
            family, model, run = random_run(generator)
            with self.subTest(number=number, family=family, **model, **run):
                self.tiny(family, rows=30, **model)
                config = self.write_config(f"run{number}", **run,
                                           data__validation=str(self.work / "valid.jsonl"))
                plan = self.ok("plan", config, "--json").json()
                bound = plan["arena_bytes"] + plan["process_bytes"]
                result = self.ok("train", config)
                steps = metrics(self.work / f"run{number}")[0]
                peak = max(result.peak_rss_bytes, steps[-1]["peak_rss_bytes"])
                self.assertLessEqual(peak, bound)
                self.assertGreater(steps[-1]["peak_rss_bytes"], 0)
                most = max(most, peak - plan["arena_bytes"])
        print(f"most beside the arena: {most / MIB:.1f} MiB", flush=True)

    def test_inference_and_export_stream(self):
        """Neither reading nor writing holds the weights a second time."""
        folder = self.work / "large"
        weights = write_large_weights(folder)
        support.write_rows(self.work / "valid.jsonl", 3, 2)
        process = self.process_bytes()
        self.assertGreater(weights, process)  # or a second copy would not show
        commands = (("eval", folder, "--data", self.work / "valid.jsonl", "--sequence-length", "64",
                     "--rows", "1"),
                    ("generate", folder, "--prompt", "the", "--max-new-tokens", "2"),
                    ("logits", folder, "--tokens", "1 2 3", "--out", self.work / "x.npy"))
        for command in commands:
            command = (*command, "--dtype", "f32")
            refusal = self.refused(5, *command, "--memory", process + MIB,
                                   says=("a peak of", "try --memory")).err
            smallest = int(refusal.split("--memory ")[1].split("MiB")[0]) * MIB
            self.assertLess(smallest - process, weights)
            result = self.ok(*command, "--memory", smallest)
            self.assertLessEqual(result.peak_rss_bytes, smallest, command)
            self.assertIn("do not fit", result.err)
            result = self.ok(*command)
            self.assertLessEqual(result.peak_rss_bytes, weights + process, command)
            self.assertNotIn("do not fit", result.err)
        for arguments in (("hf", "bf16", "out"), ("gguf", "q8_0", "out.gguf"),
                          ("gguf", "f32", "full.gguf")):
            result = self.ok("export", folder, "--format", arguments[0], "--dtype", arguments[1],
                             "--out", self.work / arguments[2])
            self.assertLessEqual(result.peak_rss_bytes, process, arguments)
        result = self.ok("tokenize", folder, "--file", self.work / "valid.jsonl", "--json")
        self.assertLessEqual(result.peak_rss_bytes, process)

    def process_bytes(self):
        self.tiny("llama", rows=4)
        return self.ok("plan", self.write_config("any"), "--json").json()["process_bytes"]

    def test_what_does_not_fit_is_refused_before_weights_are_read(self):
        """The model has no weights at all: a run that got as far as them would say so."""
        self.tiny("llama", rows=10, hidden_size=256, vocab_size=50021, intermediate_size=700)
        config = self.write_config("run", init="pretrained", train__dtype="f32")
        self.refused(4, "train", config, says=("safetensors",))
        plan = self.ok("plan", config, "--json").json()
        all_in_ram = plan["arena_bytes"] + plan["process_bytes"]
        # The table of 50,021 rows alone: weights, gradient and moments pass in pieces, but the
        # head's products want the first two whole.
        short = 50021 * 256 * 8 + plan["process_bytes"]
        for command in ("train", "plan"):
            result = self.refused(5, command, config, "--set", f"budget.memory={short}",
                                  says=("OutOfMemory", "budget", "try"))
            self.assertLess(result.peak_rss_bytes, plan["process_bytes"])
        for memory in ("200MiB", str(plan["process_bytes"]), "1MiB"):
            with self.subTest(memory):
                self.refused(5, "train", config, "--set", f"budget.memory={memory}",
                             says=("OutOfMemory", "budget", "try"))
        self.ok("plan", config, "--set", f"budget.memory={all_in_ram}")
        for memory in ("1000000", str(plan["process_bytes"] + MIB)):
            self.refused(5, "eval", self.work / "model", "--data", self.work / "valid.jsonl",
                         "--sequence-length", "48", "--memory", memory, says=("OutOfMemory", "try"))

    def test_the_tightest_budget_that_is_accepted_is_kept(self):
        self.tiny("gpt2", n_embd=128, n_head=4, vocab_size=20011)
        config = self.write_config("run", train__save_every=2,
                                   data__validation=str(self.work / "valid.jsonl"))
        plan = self.ok("plan", config, "--json").json()
        budget = plan["arena_bytes"] + plan["process_bytes"]
        result = self.ok("train", config, "--set", f"budget.memory={budget}")
        self.assertLessEqual(result.peak_rss_bytes, budget)
        # The budget is not part of what is computed.
        self.ok("train", config, "--set", f"run={self.work / 'free'}")
        self.assertEqual(support.arithmetic_of(self.work / "run"),
                         support.arithmetic_of(self.work / "free"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
