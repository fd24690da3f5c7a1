"""Checkpoints that are damaged, unfinished or too large for the disk: named, never used."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import unittest

import support
from support import ProgramTest, arithmetic_of, checkpoints, metrics

SEED = 77


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "lock"}


def flip(path, offset, bit):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


class Damaged(ProgramTest):
    def setUp(self):
        super().setUp()
        self.tiny("qwen2")
        self.config = self.write_config("run", train__steps=20, train__microbatch=2,
                                        train__schedule={"name": "constant"}, train__dtype="bf16")
        self.ok("train", self.config, "--set", "train.steps=4")
        self.run_folder = self.work / "run"
        self.checkpoint = checkpoints(self.run_folder)[-1]

    def test_every_kind_of_byte(self):
        """One flipped bit in header, tensors or state.json is found by doctor, wherever it is."""
        self.ok("doctor", self.run_folder)
        generator = random.Random(SEED)
        for name, count in (("state.safetensors", 30), ("state.json", 30)):
            path = self.checkpoint / name
            size = path.stat().st_size
            header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
            offsets = [0, 1, 7, 8, size - 1] + [generator.randrange(size) for _ in range(count)]
            if name == "state.safetensors":
                offsets += [generator.randrange(8, header) for _ in range(20)]
            for offset in offsets:
                bit = generator.randrange(8)
                with self.subTest(file=name, offset=offset, bit=bit):
                    flip(path, offset, bit)
                    try:
                        self.refused(4, "doctor", self.run_folder, says=("checkpoint", name))
                    finally:
                        flip(path, offset, bit)
        self.ok("doctor", self.run_folder)

    def test_training_stops_and_overwrites_nothing(self):
        tensors = self.checkpoint / "state.safetensors"
        info = self.checkpoint / "state.json"
        whole = {path: path.read_bytes() for path in (tensors, info)}
        text = whole[info].decode()
        damages = [
            (tensors, lambda: flip(tensors, len(whole[tensors]) - 5, 3), "tensor '"),
            (tensors, lambda: os.truncate(tensors, len(whole[tensors]) - 1), "state.safetensors"),
            (tensors, lambda: os.truncate(tensors, 0), "state.safetensors"),
            (tensors, tensors.unlink, "state.safetensors"),
            (info, lambda: os.truncate(info, len(text) // 2), "state.json"),
            (info, info.unlink, "state.json"),
            (info, lambda: info.write_text(text.replace('"step": 4', '"step": 5')), "state.json"),
            (info, lambda: info.write_text("{}"), "state.json"),
            (info, lambda: info.write_text("[]"), "state.json"),
        ]
        for number, (path, damage, word) in enumerate(damages):
            with self.subTest(number):
                damage()
                before = files_of(self.run_folder)
                self.refused(4, "train", self.config, says=(word,))
                self.refused(4, "eval", self.run_folder, "--data", self.work / "valid.jsonl",
                             "--sequence-length", "48", says=(word,))
                after = files_of(self.run_folder)
                after[self.relative("config.yaml")] = before[self.relative("config.yaml")]
                self.assertEqual(after, before)
                path.write_bytes(whole[path])
        self.ok("train", self.config)

    def relative(self, name):
        return (self.run_folder / name).relative_to(self.run_folder)

    def test_what_a_crash_left_is_no_checkpoint(self):
        folder = self.run_folder / "checkpoints"
        for name in ("step-9.tmp", "step-010", "step-", "removed-step-2", "unfinished", "step-1e3"):
            shutil.copytree(self.checkpoint, folder / name)
            flip(folder / name / "state.safetensors", 200, 1)
        self.ok("doctor", self.run_folder)
        result = self.ok("train", self.config, "--set", "train.steps=6",
                         "--set", "train.keep_checkpoints=1")
        self.assertIn("resumed after step 4", result.err)
        self.assertEqual([path.name for path in checkpoints(self.run_folder)
                          if path.name != "step-010"], ["step-6"])
        self.assertFalse((folder / "unfinished").exists())
        self.assertFalse((folder / "removed-step-2").exists())

    def test_old_checkpoints_go(self):
        self.ok("train", self.config, "--set", "train.save_every=3",
                "--set", "train.keep_checkpoints=3")
        self.assertEqual([path.name for path in checkpoints(self.run_folder)],
                         ["step-15", "step-18", "step-20"])

    def test_saves_by_time(self):
        self.ok("train", self.config, "--set", "train.save_every=0", "--set",
                "train.save_minutes=1e-9", "--set", "train.keep_checkpoints=100")
        run = next(path.parent for path in self.work.glob("*/checkpoints"))
        self.assertEqual([path.name for path in checkpoints(run)],
                         [f"step-{step}" for step in range(4, 1 + len(metrics(run)[0]))])

    def test_doctor_names_each_checkpoint(self):
        self.ok("train", self.config, "--set", "train.save_every=5")
        result = self.ok("doctor", self.run_folder)
        for path in checkpoints(self.run_folder):
            self.assertIn(path.name.replace("-", " "), result.out)

    def test_doctor_looks_behind_a_damaged_checkpoint(self):
        self.ok("train", self.config, "--set", "train.save_every=5",
                "--set", "train.keep_checkpoints=2")
        older, newer = checkpoints(self.run_folder)
        path = older / "state.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        result = self.refused(4, "doctor", self.run_folder, says=("Corruption", older.name))
        self.assertIn(f"{older.name.replace('-', ' ')}: damaged", result.out)
        self.assertIn(f"{newer.name.replace('-', ' ')}: every checksum holds", result.out)
        self.assertEqual(path.read_bytes(), bytes(data), "doctor repairs nothing")


class FullDisk(ProgramTest):
    """The save that does not fit says so; the checkpoint before it stays; room lets it go on."""

    def setUp(self):
        super().setUp()
        self.tiny("qwen2", hidden_size=96, intermediate_size=200)
        self.settings = {"train__steps": 6, "train__schedule": {"name": "constant"}}
        self.ok("train", self.write_config("whole", **self.settings))

    def finish_and_compare(self, config, run):
        self.ok("doctor", run)
        self.assertEqual([path.name for path in checkpoints(run)], ["step-3"])
        self.assertEqual({path.name for path in (run / "checkpoints").iterdir()}, {"step-3"},
                         "the unfinished save still takes room")
        self.ok("train", config)
        self.assertEqual(arithmetic_of(run), arithmetic_of(self.work / "whole"))
        name = "checkpoints/step-6/state.safetensors"
        self.assertTrue((run / name).read_bytes() == (self.work / "whole" / name).read_bytes())

    def test_a_limit_on_file_sizes(self):
        config = self.write_config("run", **self.settings)
        run = self.work / "run"
        self.ok("train", config, "--set", "train.steps=3")
        size = (checkpoints(run)[-1] / "state.safetensors").stat().st_size

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

        self.refused(4, "train", config, preexec=limit, says=("Io", "state.safetensors"))
        self.assertEqual(len(metrics(run)[0]), 6)
        self.finish_and_compare(config, run)

    def test_a_full_file_system(self):
        size = (self.work / "whole/checkpoints/step-6/state.safetensors").stat().st_size
        disk = self.work / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size * 5 // 2}", "none", disk]
        mount = subprocess.run(command, capture_output=True, check=False)
        if mount.returncode != 0:
            self.skipTest("no right to mount a file system: " + mount.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", disk], check=True)
        run = disk / "run"
        config = self.write_config("run", **self.settings)
        text = json.loads(config.read_text())
        text["run"] = str(run)
        config.write_text(json.dumps(text))
        self.ok("train", config, "--set", "train.steps=3")
        (disk / "ballast").write_bytes(bytes(size))
        self.refused(5, "train", config, says=("OutOfMemory", "too little room", "checkpoints"))
        (disk / "ballast").unlink()
        self.finish_and_compare(config, run)


if __name__ == "__main__":
    unittest.main(verbosity=2)
