"""Disks that are too small, and disks that fill up: refused before weights are read, or a pause
that ends with the bits of a run that never paused. Needs the right to mount a tmpfs; skipped
otherwise."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
import unittest

import support
from support import ProgramTest, arithmetic_of, checkpoints

MIB = 1 << 20
CLONE_NEWNS = 0x00020000
RETRY_SECONDS = 2  # of the program


def can_mount():
    """Takes a mount namespace of this process's own, where nothing is seen from outside."""
    if os.geteuid() != 0 or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


MOUNTS = can_mount()


class Disk:
    """A small file system in memory."""

    def __init__(self, path, size):
        path.mkdir()
        self.path, self.filler = path, path / "filler"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)],
                       check=True)

    def free(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leave=0):
        with open(self.filler, "ab") as file:
            while self.free() > leave:  # a run that writes meanwhile may leave less than asked for
                with contextlib.suppress(OSError):
                    size = os.fstat(file.fileno()).st_size
                    os.posix_fallocate(file.fileno(), size, self.free() - leave)

    def empty(self):
        self.filler.unlink()

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.path)], check=True)


class Watched(support.Process):
    def text(self):
        size = os.fstat(self.err.fileno()).st_size
        return os.pread(self.err.fileno(), size, 0).decode("utf-8", "replace")

    def wait_for(self, words, seconds=60):
        deadline = time.monotonic() + seconds * support.SLOW
        while words not in self.text():
            if not self.running() or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True


@unittest.skipUnless(MOUNTS, "may not mount")
class DiskFull(ProgramTest):
    def setUp(self):
        super().setUp()
        self.tiny("qwen2", hidden_size=96, intermediate_size=384)
        self.disk = Disk(self.work / "disk", 96 * MIB)
        self.addCleanup(self.disk.unmount)
        self.changes = {"train__steps": 20, "train__save_every": 1, "train__keep_checkpoints": 30,
                        "train__global_batch": 32}

    def config(self, name="full", **changes):
        return self.write_config(name, run=str(self.disk.path / name),
                                 **{**self.changes, **changes})

    def assert_as_whole(self):
        """Metrics, and every checkpoint: what was written while the disk was full, too."""
        whole, run = self.work / "whole", self.disk.path / "full"
        self.assertEqual(arithmetic_of(whole), arithmetic_of(run))
        names = [folder.name for folder in checkpoints(whole)]
        self.assertEqual(names, [folder.name for folder in checkpoints(run)])
        for name in names:
            states = [(folder / "checkpoints" / name / "state.safetensors").read_bytes()
                      for folder in (whole, run)]
            self.assertTrue(states[0] == states[1], name)

    def paused_run(self):
        """A run on the small disk, in a pause: there is no room for its checkpoint."""
        process = Watched("train", self.config())
        self.assertTrue(process.wait_for("step 2: saved"), process.text())
        self.disk.fill()
        self.assertTrue(process.wait_for("paused: "), process.text())
        return process

    def test_pauses_until_there_is_room(self):
        self.ok("train", self.write_config("whole", **self.changes))
        process = self.paused_run()
        time.sleep(2 * RETRY_SECONDS + 0.5)  # it tries again, in vain
        self.assertTrue(process.running(), process.text())
        self.disk.empty()
        result = process.wait()
        self.assertEqual(result.status, 0, result.err)
        line = next(line for line in result.err.splitlines() if "paused: " in line)
        for words in (str(self.disk.path), "needs", "trying again every 2 s", "Ctrl-C"):
            self.assertIn(words, line)
        self.assert_as_whole()

    def test_ctrl_c_ends_a_pause(self):
        self.ok("train", self.write_config("whole", **self.changes))
        process = self.paused_run()
        process.send(signal.SIGINT)
        begin = time.monotonic()
        result = process.wait()
        self.assertEqual(result.status, 128 + signal.SIGINT, result.err)
        self.assertLess(time.monotonic() - begin, RETRY_SECONDS * support.SLOW)
        self.assertIn("still full", result.err)
        self.assertIn("interrupted and saved after step", result.err)
        self.disk.empty()
        self.assertIn("can be resumed", self.ok("doctor", self.disk.path / "full").out)
        self.ok("train", self.config())
        self.assert_as_whole()

    def test_metrics_pause_too(self):
        changes = {"train__save_every": 0, "train__steps": 80, "train__global_batch": 8}
        self.ok("train", self.write_config("whole", **{**self.changes, **changes}))
        process = Watched("train", self.config(**changes))
        metrics = self.disk.path / "full" / "metrics.jsonl"
        while process.running() and not metrics.exists():
            time.sleep(0.002)
        self.disk.fill()
        self.assertTrue(process.wait_for("paused: "), process.text())
        self.disk.empty()
        result = process.wait()
        self.assertEqual(result.status, 0, result.err)
        self.assert_as_whole()

    def test_too_little_room_is_refused_before_weights_are_read(self):
        self.disk.fill(leave=MIB // 2)
        config = self.config(train__keep_checkpoints=7)
        for command in ("plan", "train"):
            self.refused(5, command, config,
                         says=("OutOfMemory", self.disk.path, "too little room", "checkpoints",
                               "free", "train.keep_checkpoints=1", "adafactor", "=bf16"))
        self.assertFalse((self.disk.path / "full" / "checkpoints").exists())
        self.disk.empty()
        plan = self.ok("plan", config)
        self.assertRegex(plan.out, r"room     [0-9.]+ MiB of [0-9.]+ MiB free in ")
        room, = self.ok("plan", config, "--json").json()["disk"]["rooms"]
        self.assertEqual(room["needed_bytes"], sum(room["parts"].values()))
        self.assertAlmostEqual(room["free_bytes"], self.disk.free(), delta=MIB)
        self.ok("train", config)
        kept = sum(file.stat().st_size for file in
                   (self.disk.path / "full" / "checkpoints").glob("*/*"))
        self.assertAlmostEqual(kept / 7 * 8, room["parts"]["checkpoints"],
                               delta=0.05 * room["parts"]["checkpoints"])

    def test_export_checks_its_room(self):
        run = self.work / "small"
        self.ok("train", self.write_config("small", train__steps=2))
        self.disk.fill(leave=MIB // 16)
        self.refused(5, "export", run, "--format", "hf", "--dtype", "f32", "--out",
                     self.disk.path / "hf", says=("OutOfMemory", "free", str(self.disk.path)))


class Writes(ProgramTest):
    def setUp(self):
        super().setUp()
        self.tiny("qwen2", hidden_size=96, intermediate_size=384)

    def test_expected_writes_are_bounded(self):
        config = self.write_config("run", train__steps=100, train__save_every=2)
        disk = self.ok("plan", config, "--json").json()["disk"]
        self.assertEqual(disk["checkpoints"], 50)
        bound = int(disk["written_bytes"] / 4)
        self.refused(5, "train", config, "--max-writes", bound,
                     says=("OutOfMemory", "budget.max_writes", "50 checkpoints", "save_every="))
        message = self.refused(5, "plan", config, "--max-writes", bound).err
        every = message.split("train.save_every=")[1].split(";")[0]
        for more, status in ((0, 0), (-1, 5)):  # the remedy is the cheapest that helps
            result = support.outsize("plan", config, "--max-writes", bound, "--set",
                                     f"train.save_every={int(every) + more}")
            self.assertEqual(result.status, status, result.err)
        self.assertFalse((self.work / "run" / "checkpoints").exists())

    def written_by(self, config, count):
        """(what the plan expects a run to write, what the system has counted when it ended)."""
        expected = self.ok("plan", config, "--json").json()["disk"]["written_bytes"]
        process = support.Process("train", config)
        written = 0
        while process.running():
            try:
                with open(f"/proc/{process.process.pid}/io", encoding="ascii") as file:
                    counts = dict(line.split(": ") for line in file.read().splitlines())
                written = int(counts[count])
            except (OSError, KeyError, ValueError):
                pass
            time.sleep(0.001)
        self.assertEqual(process.wait().status, 0)
        return expected, written

    def test_expected_bytes_of_checkpoints(self):
        expected, written = self.written_by(
            self.write_config("run", train__steps=20, train__save_every=2), "wchar")
        # Configuration, tokenizer, index and records come on top; a sample may miss the end.
        self.assertGreater(written, 0.8 * expected)
        self.assertLess(written, expected + MIB)

    @unittest.skipIf(support.SANITIZER, "a sanitizer keeps memory of its own")
    def test_expected_bytes_of_a_streamed_run(self):
        self.tiny("qwen2", hidden_size=96, intermediate_size=384, vocab_size=4001)
        changes = {"train__dtype": "bf16", "train__microbatch": 2, "train__steps": 20}
        plan = self.ok("plan", self.write_config("any", **changes), "--json").json()
        changes["budget__memory"] = plan["arena_bytes"] * 3 // 4 + plan["process_bytes"]
        expected, written = self.written_by(self.write_config("run", **changes), "write_bytes")
        if written == 0:
            self.skipTest("the folder for temporary files is on no disk")
        self.assertGreater(written, 0.9 * expected)
        self.assertLess(written, 1.05 * expected)
        message = self.refused(5, "plan", self.write_config("other", **changes), "--max-writes",
                               int(expected / 2)).err
        memory = message.split("budget.memory=")[1].split(",")[0]
        steps = message.split("train.steps=")[1].split(";")[0]
        for remedy in (f"budget.memory={memory}", f"train.steps={steps}"):
            self.ok("plan", self.write_config("other", **changes), "--max-writes",
                    int(expected / 2), "--set", "train.save_every=0", "--set", remedy)


if __name__ == "__main__":
    unittest.main(verbosity=2)
