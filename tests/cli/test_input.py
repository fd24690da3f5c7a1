"""Bad input through the program: an exit status, one line that names the place, never a trace."""

import json
import os
import unittest

from support import (ProgramTest, arithmetic_of, outsize, read_safetensors, write_rows,
                     write_safetensors)


class Commands(ProgramTest):
    def test_usage_errors(self):
        for arguments in ((), ("trian",), ("train",), ("train", "a.yaml", "--sett", "x=1"),
                          ("eval", "model"), ("generate", "model", "--prompt", "a",
                                              "--temperature", "-1"),
                          ("export", "m", "--format", "onnx", "--out", "x"),
                          ("bench", "step", "--config", "c", "--steps", "0")):
            with self.subTest(arguments):
                result = outsize(*arguments)
                self.assertEqual(result.status, 2)
                self.assertTrue(result.err)

    def test_help(self):
        for arguments in (("--help",), ("train", "--help"), ("--version",), ("eval", "--help")):
            self.assertTrue(self.ok(*arguments).out)
        self.assertIn("train.optimizer.lr", self.ok("train", "--help").out)

    def test_options_may_stand_before_the_configuration(self):
        self.tiny()
        config = self.write_config("run")
        plan = self.ok("plan", "--set", "train.steps=7", config, "--json").json()
        self.assertEqual(plan["steps"], 7)


class Configuration(ProgramTest):
    def setUp(self):
        super().setUp()
        self.tiny()
        self.config = self.write_config("run")

    def test_keys_and_values(self):
        for text, says in {
                "modle: x": ("modle", "model"),
                "train: {stepz: 3}": ("train.stepz", "train.steps"),
                "train: {optimizer: {learning_rate: 1}}": ("learning_rate",),
                "train: {steps: many}": ("train.steps", "many"),
                "train: {steps: -1}": ("train.steps",),
                "train: {dtype: f8}": ("train.dtype", "bf16"),
                "train: {steps: 1, global_batch: 4, microbatch: 3}": ("train.microbatch",),
                "train: [": ("yaml",),
                "budget: {memory: lots}": ("budget.memory", "lots"),
        }.items():
            with self.subTest(text):
                path = self.work / "bad.yaml"
                path.write_text(f"model: m\nrun: r\ndata: {{train: t}}\n{text}\n")
                self.refused(3, "train", path, says=("bad.yaml", *says))

    def test_overrides(self):
        for text, says in {"train.stepz=3": ("train.stepz", "train.steps"),
                           "train.steps": ("train.steps",), "=3": (),
                           "train.steps=x": ("train.steps", "'x'"),
                           "train.optimizer.lr=fast": ("train.optimizer.lr",)}.items():
            with self.subTest(text):
                self.refused(3, "train", self.config, "--set", text, says=("set", *says))

    def test_files(self):
        self.refused(4, "train", self.work / "none.yaml", says=("none.yaml",))
        self.refused(4, "train", self.work, says=(self.work,))
        (self.work / "file").write_text("")
        self.refused(4, "train", self.config, "--set", f"run={self.work}/file/run",
                     says=("file/run",))
        if os.geteuid() != 0:  # root reads everything
            self.config.chmod(0)
            self.refused(4, "train", self.config, says=("run.yaml",))


class Models(ProgramTest):
    def refuse_model(self, status, *says):
        """Every command that opens the model says the same."""
        folder, rows = self.work / "model", self.work / "train.jsonl"
        config = self.write_config("run", init="pretrained")
        for arguments in (("plan", config), ("train", config),
                          ("eval", folder, "--data", rows, "--sequence-length", "48"),
                          ("generate", folder, "--prompt", "a", "--max-new-tokens", "1"),
                          ("logits", folder, "--tokens", "1", "--out", self.work / "x.npy"),
                          ("export", folder, "--format", "hf", "--out", self.work / "out")):
            with self.subTest(arguments[0]):
                self.refused(status, *arguments, says=says)
        self.assertFalse((self.work / "x.npy").exists())
        self.assertFalse((self.work / "out/model.safetensors").exists())

    def change_config(self, **changes):
        path = self.work / "model/config.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    def test_missing_model(self):
        write_rows(self.work / "train.jsonl", 4, 1)
        self.refuse_model(3, "no such model", self.work / "model")

    def test_folder_without_configuration(self):
        self.tiny()
        (self.work / "model/config.json").unlink()
        self.refuse_model(4, "config.json")

    def test_configuration_is_no_json(self):
        self.tiny()
        (self.work / "model/config.json").write_text('{"model_type": ')
        self.refuse_model(4, "config.json")

    def test_missing_field(self):
        self.tiny()
        self.change_config(num_hidden_layers=None)
        self.refuse_model(3, "config.json", "num_hidden_layers")

    def test_wrong_field(self):
        self.tiny()
        for name, value in (("hidden_size", "wide"), ("hidden_size", -24),
                            ("num_attention_heads", 0), ("vocab_size", 1e99)):
            with self.subTest(name=name, value=value):
                self.tiny()
                self.change_config(**{name: value})
                self.refused(3, "plan", self.write_config("run"), says=("config.json", name))

    def test_unknown_family(self):
        self.tiny()
        self.change_config(model_type="rwkv9")
        self.refuse_model(3, "config.json", "rwkv9", "gpt2", "llama", "qwen2", "gemma3_text")

    def test_no_weights(self):
        self.tiny()
        for arguments in (("train", self.write_config("run", init="pretrained")),
                          ("eval", self.work / "model", "--data", self.work / "valid.jsonl",
                           "--sequence-length", "48"),
                          ("generate", self.work / "model", "--prompt", "a")):
            self.refused(4, *arguments, says=("model.safetensors",))
        self.refused(3, "generate", self.work / "model/config.json", "--prompt", "a",
                     says=("config.json", "without weights"))

    def test_a_configuration_with_its_tokenizer_beside_it(self):
        self.tiny()
        self.ok("train", self.write_config("folder"))
        alone = self.write_config("alone", model=str(self.work / "model/config.json"))
        self.ok("train", alone)
        self.assertEqual(arithmetic_of(self.work / "alone"), arithmetic_of(self.work / "folder"))
        (self.work / "model/tokenizer.json").unlink()
        self.refused(3, "train", alone, "--set", f"run={self.work / 'none'}",
                     says=("config.json", "no tokenizer"))

    def test_tensors(self):
        folder = self.with_weights("llama")
        path = folder / "model.safetensors"
        whole = read_safetensors(path)
        name = "model.layers.1.mlp.up_proj.weight"
        dtype, shape, data = whole[name]
        without = {key: value for key, value in whole.items() if key != name}
        turned = {**whole, name: (dtype, shape[::-1], data)}
        rows = self.work / "valid.jsonl"
        for tensors, says in ((without, ("missing",)), (turned, ("shape", "[24,40]", "[40,24]"))):
            write_safetensors(path, tensors)
            config = self.write_config("run", init="pretrained", model=str(folder))
            for arguments in (("train", config), ("eval", folder, "--data", rows,
                                                  "--sequence-length", "48"),
                              ("export", folder, "--format", "gguf", "--out", self.work / "x")):
                self.refused(3, *arguments, says=(name, *says))
        write_safetensors(path, whole)
        os.truncate(path, path.stat().st_size - 1)
        self.refused(4, "eval", folder, "--data", rows, "--sequence-length", "48",
                     says=("model.safetensors", "Corruption"))

    def test_tokenizer(self):
        self.tiny()
        config = self.write_config("run")
        path = self.work / "model/tokenizer.json"
        path.write_text("[1,")
        self.refused(4, "train", config, says=("tokenizer.json",))
        path.unlink()
        self.refused(3, "train", config, says=("no tokenizer", "tokenizer.json"))
        self.tiny(vocab_size=200)
        self.refused(3, "train", config, says=("tokenizer", "200"))

    def test_a_gguf_that_is_none(self):
        path = self.work / "model.gguf"
        for data in (b"", b"GGUF", b"not a model at all, but long enough to look at"):
            path.write_bytes(data)
            self.refused(4, "logits", path, "--tokens", "1", "--out", self.work / "x.npy",
                         says=("model.gguf",))


class Data(ProgramTest):
    """The model has no weights, so that whatever is said is said before they are opened."""

    def setUp(self):
        super().setUp()
        self.tiny()
        self.config = self.write_config("run", init="pretrained")
        self.rows = self.work / "train.jsonl"

    def refuse_rows(self, rows, *says, status=3):
        self.rows.write_text("".join(row + "\n" for row in rows))
        result = outsize("train", self.config)
        self.assertEqual(result.status, status, result.err)
        for text in says:
            self.assertIn(text, result.err)
        self.assertNotIn("safetensors", result.err)

    def test_rows(self):
        good = '{"prompt": "a", "completion": "b"}'
        for bad, says in {
                "{": (), "[]": (), '{"prompt": "a"}': ("completion",),
                '{"completion": 3, "prompt": "a"}': ("completion",),
                '{"prompt": "a", "completion": ""}': ("completion",),
                '{"txt": "a"}': ("text",), '{"text": "' + "long " * 30 + '"}': ("48",),
                '{"text": "\\ud800"}': (), '{"text": "a", "text": "b"}': (),
        }.items():
            with self.subTest(bad):
                self.refuse_rows([good, bad, good], "train.jsonl:2:", *says)

    def test_many_bad_rows(self):
        self.refuse_rows(['{"text": 1}'] * 300, "300", "train.jsonl:1:", "more")

    def test_nothing_to_train(self):
        self.refuse_rows([], "train.jsonl")
        self.rows.unlink()
        self.refused(4, "train", self.config, says=("train.jsonl",))

    def test_sequence_longer_than_the_context(self):
        self.refused(3, "train", self.config, "--set", "data.sequence_length=129",
                     says=("129", "128", "sequence_length"))
        self.refused(3, "eval", self.work / "model", "--data", self.work / "valid.jsonl",
                     "--sequence-length", "200", says=("200", "128"))

    def test_a_model_is_no_data(self):
        path = self.work / "model.gguf"
        path.write_bytes(b"GGUF\3\0\0\0" + bytes(100))
        for arguments in (("eval", self.work / "model", "--data", path),
                          ("data", "preview", self.work / "model", path),
                          ("train", self.config, "--set", f"data.train={path}")):
            self.refused(3, *arguments, says=("model.gguf",))

    def test_preview_marks_what_is_not_trained(self):
        self.rows.write_text('{"prompt": "the question", "completion": " answer"}\n'
                             '{"text": "all of it"}\n')
        text = self.ok("data", "preview", self.work / "model", self.rows).out
        self.assertIn("⟦the question⟧ answer‹<|endoftext|>›", text)
        # Nothing comes before the first token of a text, so nothing can predict it.
        self.assertIn("⟦a⟧ll of it‹<|endoftext|>›", text)
        self.refused(4, "data", "preview", self.work / "model", self.work / "none.txt",
                     says=("none.txt",))


class Inference(ProgramTest):
    def test_tokens(self):
        folder = self.with_weights("gpt2")
        out = self.work / "x.npy"
        for tokens, says in {"261": ("261", "260"), "-1": ("-1",), "1 x": ("'x'",),
                             " ": ("no token",), "99999999999": ("99999999999",)}.items():
            with self.subTest(tokens):
                self.refused(3, "logits", folder, f"--tokens={tokens}", "--out", out, says=says)
                self.assertFalse(out.exists())
        self.refused(3, "logits", folder, "--tokens", "1 " * 129, "--out", out, says=("129", "128"))
        self.refused(4, "logits", folder, "--tokens", "1", "--out", self.work / "no/x.npy",
                     says=("no/x.npy",))
        self.refused(3, "logits", folder, "--tokens", "1", "--dtype", "f99", "--out", out,
                     says=("f99",))

    def test_generation(self):
        folder = self.with_weights("gpt2")
        self.refused(3, "generate", folder, "--prompt", "", says=("empty",))
        self.refused(3, "generate", folder, "--prompt", "a" * 100, "--max-new-tokens", "60",
                     says=("160", "128"))
        self.refused(4, "generate", folder, "--prompts-file", self.work / "none.jsonl",
                     says=("none.jsonl",))
        prompts = self.work / "prompts.jsonl"
        prompts.write_text('{"prompt": "a"}\n{"promt": "a"}\n')
        self.refused(3, "generate", folder, "--prompts-file", prompts, says=("prompts.jsonl:2",))
        prompts.write_text("")
        self.refused(3, "generate", folder, "--prompts-file", prompts, says=("prompts.jsonl",))

    def test_export(self):
        folder = self.with_weights("gpt2")
        self.refused(3, "export", folder, "--format", "hf", "--dtype", "q8_0", "--out",
                     self.work / "x", says=("q8_0",))
        self.refused(4, "export", folder, "--format", "gguf", "--out", self.work / "no/x.gguf",
                     says=("no/x.gguf",))
        self.refused(3, "export", self.work / "nothing", "--format", "hf", "--out",
                     self.work / "x", says=("nothing",))

    def test_tokenize(self):
        folder = self.work / "model"
        self.tiny()
        ids = self.work / "ids.json"
        for text, status in (("[1, 2", 4), ('["a"]', 3), ("[-1]", 3), ("[261000]", 3),
                             ("[4294967297]", 3)):
            ids.write_text(text)
            with self.subTest(text):
                self.refused(status, "tokenize", folder, "--file", ids, "--decode",
                             says=("ids.json",))
        self.refused(4, "tokenize", folder, "--file", self.work / "none", says=("none",))

    def test_run_folder_without_checkpoint(self):
        self.tiny()
        (self.work / "run").mkdir()
        (self.work / "run/config.yaml").write_text("model: x\n")
        self.refused(3, "eval", self.work / "run", "--data", self.work / "valid.jsonl",
                     says=("no checkpoint",))


if __name__ == "__main__":
    unittest.main(verbosity=2)
