"""A run whose state does not fit its memory budget: same bits as one that stays in RAM, within the
budget, and nothing lost when it is killed at any instant."""

import pathlib
import random
import signal
import time
import unittest

import support
from support import ProgramTest, arithmetic_of, metrics

SEED = 20240612
KILLS = 30
STEPS = 12
CONVERSIONS = 9
MIB = 1 << 20


def tensors_of(folder):
    return support.read_safetensors(pathlib.Path(folder) / "model.safetensors")


@unittest.skipIf(support.SANITIZER, "a sanitizer keeps memory of its own")
class Streaming(ProgramTest):
    def setUp(self):
        super().setUp()
        # 16 MB of parameters: state, gradients and moments take several times that.
        self.tiny("qwen2", hidden_size=192, intermediate_size=768, num_hidden_layers=4,
                  vocab_size=8009)
        self.changes = {"train__dtype": "bf16", "train__microbatch": 2, "train__steps": STEPS,
                        "train__eval_every": 5,
                        "data__validation": str(self.work / "valid.jsonl")}

    def small_budget(self):
        """Bytes: two thirds of what the plan wants that keeps everything in RAM."""
        plan = self.ok("plan", self.write_config("any", **self.changes), "--json").json()
        self.assertEqual(plan["streams"]["store_bytes"], 0)
        return plan["arena_bytes"] * 2 // 3 + plan["process_bytes"]

    def whole_run(self):
        self.ok("train", self.write_config("whole", **self.changes))
        self.ok("export", self.work / "whole", "--format", "hf", "--dtype", "f32", "--out",
                self.work / "whole-hf")

    def assert_same_as_whole(self, run):
        self.assertEqual(arithmetic_of(self.work / "whole"), arithmetic_of(self.work / run))
        self.ok("export", self.work / run, "--format", "hf", "--dtype", "f32", "--out",
                self.work / f"{run}-hf")
        self.assertTrue(tensors_of(self.work / "whole-hf") == tensors_of(self.work / f"{run}-hf"),
                        "the exported weights differ")

    def test_gives_the_same_bits_within_the_budget(self):
        self.whole_run()
        budget = self.small_budget()
        config = self.write_config("small", budget__memory=budget, **self.changes)
        plan = self.ok("plan", config, "--json").json()
        self.assertGreater(plan["streams"]["store_bytes"], 0)
        self.assertGreater(plan["streams"]["read_bytes_per_step"], 0)
        self.assertIn("disk ", self.ok("plan", config).out)
        result = self.ok("train", config)
        self.assertLessEqual(result.peak_rss_bytes, budget)
        self.assert_same_as_whole("small")
        self.assertIn("can be resumed", self.ok("doctor", self.work / "small").out)
        loss = [self.ok("eval", self.work / run, "--data", self.work / "valid.jsonl",
                        "--sequence-length", "48", "--dtype", "f32", "--json").json()["loss"]
                for run in ("whole", "small")]
        self.assertEqual(*loss)

    def test_killed_at_any_instant(self):
        seed = int(support.os.environ.get("OUTSIZE_TEST_SEED", SEED))
        print(f"seed {seed}", flush=True)
        generator = random.Random(seed)
        self.whole_run()
        budget = self.small_budget()
        kills = runs = 0
        while kills < KILLS:
            runs += 1
            kills += self.kill_and_finish(f"killed{runs}", budget, generator)
            self.assertLess(runs, 10 * KILLS, "runs always ended before they could be killed")
        print(f"killed {kills} times in {runs} runs", flush=True)

    def kill_and_finish(self, name, budget, generator):
        """Up to ten kills of one run, which then ends; each start may have another budget."""
        store = generator.choice(("auto", "ring"))
        config = self.write_config(name, budget__memory=budget, budget__store=store,
                                   **self.changes)
        kills = 0
        for _ in range(10):
            more = generator.choice((0, MIB, 4 * MIB))
            process = support.Process("train", config, "--set", f"budget.memory={budget + more}")
            self.wait_for_an_instant(process, name, generator)
            process.send(signal.SIGKILL)
            if process.wait().status == 0:
                break
            kills += 1
            if (self.work / name / "store" / "state").exists():
                self.assertIn("can be resumed", self.ok("doctor", self.work / name).out)
        self.ok("train", config)
        self.assertEqual([row["step"] for row in metrics(self.work / name)[0]],
                         list(range(1, STEPS + 1)))
        self.assert_same_as_whole(name)
        support.shutil.rmtree(self.work / name)
        support.shutil.rmtree(self.work / f"{name}-hf")
        return kills

    def wait_for_an_instant(self, process, name, generator):
        """Somewhere in the start of a run, or within one of its next steps."""
        lines = self.work / name / "metrics.jsonl"

        def count():
            return lines.read_bytes().count(b"\n") if lines.exists() else 0

        if generator.random() < 0.7:
            wanted = count() + generator.randint(1, 3)
            while process.running() and count() < wanted:
                time.sleep(0.001)
            deadline = time.monotonic() + generator.uniform(0, 0.1)
        else:
            deadline = time.monotonic() + generator.uniform(0, 0.8)
        while process.running() and time.monotonic() < deadline:
            time.sleep(0.001)

    def test_one_spare_slot_takes_less_room_and_gives_the_same_bits(self):
        self.whole_run()
        config = self.write_config("ring", budget__memory=self.small_budget(),
                                   budget__store="ring", **self.changes)
        ring, slots = (self.ok("plan", config, "--json", "--set", f"budget.store={store}")
                       .json()["streams"] for store in ("ring", "auto"))
        self.assertEqual(("ring", "two_slots"), (ring["store"], slots["store"]))
        self.assertLess(ring["store_file_bytes"], slots["store_file_bytes"])
        self.assertIn("one spare slot + gradient log", self.ok("plan", config).out)
        self.assertLessEqual(self.ok("train", config).peak_rss_bytes, self.small_budget())
        self.assertEqual(ring["store_file_bytes"],
                         (self.work / "ring" / "store" / "state").stat().st_size)
        self.assert_same_as_whole("ring")
        self.refused(3, "train", config, "--set", "budget.store=two_slots",
                     says=("InvalidArgument", "budget.store"))
        self.ok("train", config, "--set", "budget.store=auto")

    def begin_in_ram(self, name):
        """A run stopped halfway that keeps checkpoints; a copy of its folder."""
        config = self.write_config(name, train__save_every=2, **self.changes)
        run = self.work / name
        for _ in range(10):
            process = support.Process("train", config)
            while process.running() and not support.checkpoints(run):
                time.sleep(0.001)
            process.send(signal.SIGTERM)
            process.wait()
            if metrics(run)[0][-1]["step"] < STEPS:
                kept = self.work / f"{name}-begun"
                support.shutil.copytree(run, kept)
                return config, kept
            support.shutil.rmtree(run)
        self.fail("the run always ended before it could be stopped")

    def test_goes_on_from_a_checkpoint_when_killed_while_it_becomes_a_store(self):
        self.whole_run()
        budget = self.small_budget()
        config, kept = self.begin_in_ram("begun")
        run, generator = self.work / "begun", random.Random(SEED)
        unfinished = run / "store" / "state.new"
        during = 0
        for number in range(CONVERSIONS):
            support.shutil.rmtree(run)
            support.shutil.copytree(kept, run)
            layout = ("--set", f"budget.store={('two_slots', 'ring')[number % 2]}")
            process = support.Process("train", config, "--set", f"budget.memory={budget}", *layout)
            while process.running() and not unfinished.exists():
                pass
            time.sleep(generator.uniform(0, 0.15))
            process.send(signal.SIGKILL)
            process.wait()
            if unfinished.exists():
                during += 1
                self.assertIn("can be resumed", self.ok("doctor", run).out)
                self.ok("eval", run, "--data", self.work / "valid.jsonl", "--sequence-length", "48")
            # Once in a while with everything in RAM again: a half-made store is no store.
            memory = budget if number % 3 else 8 * budget
            self.ok("train", config, "--set", f"budget.memory={memory}", *layout)
            self.assertFalse(unfinished.exists())
            self.assert_same_as_whole("begun")
            support.shutil.rmtree(self.work / "begun-hf")
        self.assertGreater(during, 0)
        print(f"killed {CONVERSIONS} times, {during} while the store was made", flush=True)

    def test_a_damaged_checkpoint_does_not_become_a_store(self):
        budget = self.small_budget()
        config, _ = self.begin_in_ram("hurt")
        state = support.checkpoints(self.work / "hurt")[-1] / "state.safetensors"
        data = bytearray(state.read_bytes())
        data[len(data) // 2] ^= 1
        state.write_bytes(data)
        self.refused(4, "train", config, "--set", f"budget.memory={budget}",
                     says=("Corruption", "is damaged"))
        self.assertFalse((self.work / "hurt" / "store" / "state").exists())

    def test_a_store_goes_on_with_everything_in_ram(self):
        self.whole_run()
        budget = self.small_budget()
        config = self.write_config("grown", budget__memory=budget, **self.changes)
        process = support.Process("train", config)
        while process.running() and not (self.work / "grown" / "store" / "state").exists():
            time.sleep(0.001)
        process.send(signal.SIGTERM)
        process.wait()
        result = self.ok("train", config, "--set", f"budget.memory={8 * budget}")
        self.assertIn("all in RAM", result.err)
        self.assert_same_as_whole("grown")
        self.assertEqual(support.checkpoints(self.work / "grown"), [])

    def test_a_disk_that_is_not_there_is_not_a_run_that_has_not_begun(self):
        self.whole_run()
        budget = self.small_budget()
        disk, run = self.work / "disk", self.work / "linked"
        config = self.write_config("linked", budget__memory=budget, budget__disk=str(disk),
                                   **self.changes)
        process = support.Process("train", config)
        while process.running() and not (run / "store" / "state").exists():
            time.sleep(0.001)
        process.send(signal.SIGTERM)
        process.wait()
        self.assertTrue((run / "store").is_symlink())
        lines = (run / "metrics.jsonl").read_bytes()
        disk.rename(self.work / "elsewhere")
        for mount_point in (False, True):
            if mount_point:
                disk.mkdir()
            for arguments in (("train", config), ("plan", config), ("doctor", run),
                              ("train", config, "--set", f"budget.memory={8 * budget}"),
                              ("eval", run, "--data", self.work / "valid.jsonl",
                               "--sequence-length", "48"),
                              ("export", run, "--format", "hf", "--out", self.work / "none")):
                self.refused(4, *arguments, says=("linked/store", "mount"))
        self.assertEqual((run / "metrics.jsonl").read_bytes(), lines)
        disk.rmdir()
        (self.work / "elsewhere").rename(disk)
        self.ok("train", config)
        self.assert_same_as_whole("linked")

    def test_damage_is_named(self):
        budget = self.small_budget()
        config = self.write_config("hurt", budget__memory=budget, **self.changes)
        self.ok("train", config)
        state = self.work / "hurt" / "store" / "state"
        data = bytearray(state.read_bytes())
        for place in range(len(data) // 2, len(data), 4096):  # every copy of the later groups
            data[place] ^= 1
        state.write_bytes(data)
        self.refused(4, "doctor", self.work / "hurt", says=("Corruption", "no step can be resumed"))
        self.refused(4, "train", config, "--set", f"train.steps={STEPS + 2}",
                     says=("Corruption", "state"))

    def test_a_second_process_is_refused(self):
        budget = self.small_budget()
        config = self.write_config("twice", budget__memory=budget, **self.changes)
        process = support.Process("train", config, "--set", "train.steps=100000")
        store = self.work / "twice" / "store" / "state"
        while process.running() and not store.exists():
            time.sleep(0.01)
        try:
            self.refused(3, "train", config, "--set", "train.steps=100000",
                         says=("InvalidArgument", "in use", f"process {process.process.pid}"))
        finally:
            process.send(signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    unittest.main(verbosity=2)
