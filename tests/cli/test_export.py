"""What is exported computes what was trained: bit for bit in f32, within rounding below it."""

import json
import math
import struct
import unittest

from support import FAMILIES, ProgramTest, floats, read_npy, read_safetensors

TOKENS = "104 101 32 99 97 116 32 115 101 101 115"


class Export(ProgramTest):
    def loss(self, model, **options):
        arguments = [part for key, value in options.items()
                     for part in ("--" + key.replace("_", "-"), value)]
        return self.ok("eval", model, "--data", self.work / "valid.jsonl", "--sequence-length",
                       "48", "--json", *arguments).json()["loss"]

    def logits(self, model, dtype="f32", tokens=TOKENS):
        self.ok("logits", model, "--tokens", tokens, "--dtype", dtype, "--out",
                self.work / "logits.npy")
        return read_npy(self.work / "logits.npy")[1]

    def export(self, model, name, form, dtype):
        self.ok("export", model, "--format", form, "--dtype", dtype, "--out", self.work / name)
        return self.work / name

    def test_every_family_keeps_its_bits(self):
        for family in FAMILIES:
            with self.subTest(family):
                folder = self.with_weights(family)
                run = self.work / f"made-{family}"
                whole = read_safetensors(folder / "model.safetensors")
                again = self.export(folder, f"again-{family}", "hf", "f32")
                self.assertEqual(read_safetensors(again / "model.safetensors"), whole)
                gguf = self.export(run, f"{family}.gguf", "gguf", "f32")
                back = self.export(gguf, f"back-{family}", "hf", "f32")
                # Gemma's norms are stored plus one, which rounds.
                tensors = read_safetensors(back / "model.safetensors")
                self.assertEqual(tensors.keys(), whole.keys())
                for name, (dtype, shape, data) in whole.items():
                    self.assertEqual(tensors[name][:2], (dtype, shape))
                    if family != "gemma3_text" or "norm" not in name:
                        self.assertEqual(tensors[name][2], data, name)
                loss = self.loss(run)
                self.assertEqual(self.loss(folder), loss)
                self.assertEqual(self.loss(again), loss)
                if family == "gemma3_text":
                    self.assertAlmostEqual(self.loss(gguf), loss, delta=1e-6 * loss)
                else:
                    self.assertEqual(self.loss(gguf), loss)
                    self.assertEqual(self.logits(gguf), self.logits(run))

    def test_narrow_types(self):
        """bf16 halves, f16 and q8_0: each tensor within its rounding, the loss close to it."""
        for family in ("llama", "gpt2"):
            folder = self.with_weights(family)
            whole = read_safetensors(folder / "model.safetensors")
            exact = self.loss(folder)
            for form, dtype, step in (("hf", "bf16", 2 ** -8), ("hf", "f16", 2 ** -11),
                                      ("gguf", "bf16", 2 ** -8), ("gguf", "f16", 2 ** -11),
                                      ("gguf", "q8_0", 1 / 127)):
                with self.subTest(family=family, form=form, dtype=dtype):
                    narrow = self.export(folder, f"{family}-{form}-{dtype}", form, dtype)
                    self.assertAlmostEqual(self.loss(narrow), exact, delta=4 * step * exact)
                    wide = self.export(narrow, f"{family}-{form}-{dtype}-f32", "hf", "f32")
                    for name, (_, _, data) in read_safetensors(wide / "model.safetensors").items():
                        self.assert_close(name, floats(data), floats(whole[name][2]), step)

    def assert_close(self, name, values, exact, step):
        """Rounding is relative to the value, in q8_0 to the largest of its block of 32."""
        largest = max(map(abs, exact))
        self.assertEqual(len(values), len(exact))
        for value, other in zip(values, exact):
            bound = step * (largest if step == 1 / 127 else abs(other)) + 1e-7
            self.assertLessEqual(abs(value - other), bound, name)

    def test_bf16_training_exports_its_f32_masters(self):
        self.tiny("qwen2")
        self.ok("train", self.write_config("run", train__dtype="bf16", train__steps=4))
        folder = self.export(self.work / "run", "full", "hf", "f32")
        tensors = read_safetensors(folder / "model.safetensors")
        fine = sum(value != round_to_bf16(value)
                   for name in tensors for value in floats(tensors[name][2])[:50])
        self.assertGreater(fine, 100, "the masters' low halves are gone")
        self.assertEqual(self.loss(folder), self.loss(self.work / "run"))
        narrow = self.loss(folder, dtype="bf16")
        self.assertEqual(narrow, self.loss(self.work / "run", dtype="bf16"))
        self.assertAlmostEqual(narrow, self.loss(folder), delta=0.02)

    def test_what_is_carried(self):
        folder = self.with_weights("llama")
        for source in (self.work / "made-llama", folder):
            out = self.export(source, "out", "hf", "bf16")
            config = json.loads((out / "config.json").read_text())
            given = json.loads((self.work / "model/config.json").read_text())
            self.assertEqual({key: config[key] for key in given}, given)
            self.assertEqual(config["dtype"], "bfloat16")
        text = self.work / "text.txt"
        text.write_text("The cat, a dog;\n\n<|endoftext|> é 漢\t")
        ids = self.ok("tokenize", folder, "--file", text, "--json").json()
        gguf = self.export(folder, "model.gguf", "gguf", "f32")
        for model in (out, gguf, self.work / "made-llama",
                      self.export(gguf, "from-gguf", "hf", "f32")):
            result = self.ok("tokenize", model, "--file", text, "--json").json()
            self.assertEqual(result, ids, model)

    def test_what_a_gguf_file_cannot_say_is_refused(self):
        """llama.cpp knows one pattern of Gemma's layers and one scale of its queries."""
        types = ["sliding_attention", "full_attention", "sliding_attention"]
        for field, changes in {"layer_types": {"num_hidden_layers": 3, "layer_types": types},
                               "query_pre_attn_scalar": {"query_pre_attn_scalar": 20}}.items():
            with self.subTest(field):
                folder = self.with_weights("gemma3_text", **changes)
                self.refused(3, "export", folder, "--format", "gguf", "--out", self.work / "x.gguf",
                             says=(field,))
                self.assertFalse((self.work / "x.gguf").exists())
        local = self.with_weights("gemma3_text", num_hidden_layers=2, rope_local_base_freq=5000)
        gguf = self.export(local, "local.gguf", "gguf", "f32")
        self.assertAlmostEqual(self.loss(gguf), self.loss(local), delta=1e-5)

    def test_a_run_on_an_exported_model_continues_it(self):
        """Fine-tuning from folder, GGUF and the run itself starts at the same loss."""
        folder = self.with_weights("llama")
        gguf = self.export(folder, "model.gguf", "gguf", "f32")
        starts = []
        for number, model in enumerate((folder, gguf, self.work / "made-llama")):
            config = self.write_config(f"tune{number}", model=str(model), init="pretrained",
                                       train__steps=1, train__schedule={"name": "constant"})
            self.ok("train", config)
            line = (self.work / f"tune{number}/metrics.jsonl").read_text().splitlines()[0]
            starts.append(json.loads(line)["loss"])
            self.ok("generate", self.work / f"tune{number}", "--prompt", "a", "--max-new-tokens", 2)
        self.assertEqual(len(set(starts)), 1, starts)


class Generation(ProgramTest):
    def setUp(self):
        super().setUp()
        self.folder = self.with_weights("gemma3_text")

    def generate(self, *arguments, model=None):
        return self.ok("generate", model or self.folder, "--prompt", "the cat", "--max-new-tokens",
                       "40", "--json", *arguments).json()

    def test_greedy_is_deterministic(self):
        one, two = self.generate(), self.generate()
        self.assertEqual(one["tokens"], two["tokens"])
        self.assertEqual(one["completion"], two["completion"])
        self.assertLessEqual(len(one["tokens"]), 40)
        self.assertEqual(one["stopped"], "length" if len(one["tokens"]) == 40 else "end")
        self.assertEqual(one["prompt_tokens"], 7)
        for arguments in (("--temperature", "0", "--seed", "9"),
                          ("--temperature", "5", "--top-k", "1"),
                          ("--temperature", "5", "--top-p", "0")):
            self.assertEqual(self.generate(*arguments)["tokens"], one["tokens"], arguments)

    def test_seeds(self):
        draws = [self.generate("--temperature", "1", "--seed", seed)["tokens"]
                 for seed in ("1", "1", "2")]
        self.assertEqual(draws[0], draws[1])
        self.assertNotEqual(draws[0], draws[2])

    def test_greedy_takes_the_largest_logit(self):
        """Token by token over the cache equals the whole text at once."""
        generated = self.generate("--dtype", "f32")["tokens"]
        ids = list(b"the cat") + generated
        self.ok("logits", self.folder, "--tokens", " ".join(map(str, ids)), "--out",
                self.work / "x.npy")
        (rows, vocabulary), values = read_npy(self.work / "x.npy")
        self.assertEqual(rows, len(ids))
        for place, token in enumerate(generated, start=6):
            row = values[place * vocabulary:(place + 1) * vocabulary]
            # Both ways round differently, so a tie may fall either way.
            self.assertGreaterEqual(row[token], max(row) - 1e-4)

    def test_logits_give_the_loss_of_eval(self):
        for family in FAMILIES:
            with self.subTest(family):
                folder = self.with_weights(family)
                text = "the cat sees"
                (self.work / "one.jsonl").write_text(json.dumps({"text": text}) + "\n")
                result = self.ok("eval", folder, "--data", self.work / "one.jsonl",
                                 "--sequence-length", "16", "--json").json()
                ids = [*text.encode(), 256]
                self.ok("logits", folder, "--tokens", " ".join(map(str, ids)), "--out",
                        self.work / "x.npy")
                (_, vocabulary), values = read_npy(self.work / "x.npy")
                nats = 0.0
                for place, target in enumerate(ids[1:]):
                    row = values[place * vocabulary:(place + 1) * vocabulary]
                    top = max(row)
                    nats += top + math.log(sum(math.exp(x - top) for x in row)) - row[target]
                self.assertEqual(result["target_tokens"], len(ids) - 1)
                self.assertAlmostEqual(result["loss"], nats / (len(ids) - 1), delta=2e-6 * nats)

    def test_prompts_file(self):
        prompts = self.work / "prompts.jsonl"
        prompts.write_text('{"prompt": "the cat"}\n\n{"prompt": "the cat"}\n{"prompt": "é"}\n')
        lines = self.ok("generate", self.folder, "--prompts-file", prompts, "--max-new-tokens",
                        "40").out.splitlines()
        rows = [json.loads(line) for line in lines]
        self.assertEqual([row["prompt"] for row in rows], ["the cat", "the cat", "é"])
        self.assertEqual(rows[0]["tokens"], rows[1]["tokens"])
        self.assertEqual(rows[0]["tokens"], self.generate()["tokens"])


def round_to_bf16(value):
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    bits += 0x7FFF + ((bits >> 16) & 1)
    return struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))[0]


if __name__ == "__main__":
    unittest.main(verbosity=2)
