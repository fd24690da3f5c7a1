"""A run that is killed, interrupted or continued ends with the bits of one that was left alone."""

import json
import random
import signal
import time
import unittest

import support
from support import ProgramTest, arithmetic_of, checkpoints, metrics

SEED = 20240611
KILLS = 12  # over all cases; each also has to end well


def state_of(run):
    """Bytes of the newest checkpoint: tensors, and what stands beside them."""
    folder = checkpoints(run)[-1]
    return ((folder / "state.safetensors").read_bytes(),
            json.loads((folder / "state.json").read_text()))


CASES = {
    "adamw f32, two microbatches, validation": {
        "train__microbatch": 2, "train__eval_every": 4},
    "adamw bf16, packed": {"train__dtype": "bf16"},
    "sgd f32, four microbatches": {
        "train__microbatch": 1, "train__optimizer": {"name": "sgd", "lr": 0.05}},
    "adafactor bf16, unpacked, two microbatches": {
        "train__dtype": "bf16", "train__microbatch": 2, "data__pack": False,
        "train__optimizer": {"name": "adafactor", "lr": 3e-3}},
    "adafactor f32": {"train__optimizer": {"name": "adafactor", "lr": 3e-3}},
    "sgd bf16 moments": {
        "train__dtype": "bf16",
        "train__optimizer": {"name": "sgd", "lr": 0.05, "moment_dtype": "bf16"}},
}


class Resume(ProgramTest):
    def setUp(self):
        super().setUp()
        self.tiny("qwen2")

    def assert_same_run(self, one, other):
        self.assertEqual(arithmetic_of(self.work / one), arithmetic_of(self.work / other))
        (tensors, info), (other_tensors, other_info) = (
            state_of(self.work / one), state_of(self.work / other))
        self.assertEqual(info, other_info)
        self.assertTrue(tensors == other_tensors, "the checkpoints' bytes differ")

    def assert_each_step_once(self, run, steps):
        self.assertEqual([row["step"] for row in metrics(self.work / run)[0]],
                         list(range(1, steps + 1)))

    def test_killed_at_any_instant(self):
        seed = int(support.os.environ.get("OUTSIZE_TEST_SEED", SEED))
        print(f"seed {seed}", flush=True)
        generator = random.Random(seed)
        total = 0
        for number, (name, changes) in enumerate(CASES.items()):
            changes = {"data__validation": str(self.work / "valid.jsonl"), **changes}
            with self.subTest(name):
                begin = time.monotonic()
                self.ok("train", self.write_config(f"whole{number}", **changes))
                seconds = time.monotonic() - begin
                config = self.write_config(f"killed{number}", **changes)
                kills = self.kill_until_done(config, self.work / f"killed{number}", generator,
                                             seconds, KILLS // len(CASES))
                print(f"{name}: killed {kills} times", flush=True)
                total += kills
                self.assert_each_step_once(f"killed{number}", 12)
                self.assert_same_run(f"whole{number}", f"killed{number}")
        self.assertGreaterEqual(total, KILLS)

    def kill_until_done(self, config, run, generator, seconds, wanted):
        """Kills the run until it was killed `wanted` times, then lets it end."""
        kills = tries = 0
        while kills < wanted:
            tries += 1
            self.assertLess(tries, 20 * wanted, "the run always ended before it could be killed")
            # How often it saves is no part of the arithmetic, so it may change at every start.
            save_every = generator.randint(1, 3)
            process = support.Process("train", config, "--set", f"train.save_every={save_every}",
                                      "--set", "train.keep_checkpoints=1")
            self.let_run(process, run, generator, seconds)
            process.send(signal.SIGKILL)
            status = process.wait().status
            self.assertIn(status, (0, -signal.SIGKILL))
            if status == 0:  # it was faster: begin again
                support.shutil.rmtree(run)
                kills = 0
                continue
            kills += 1
        self.ok("train", config)
        return kills

    def let_run(self, process, run, generator, seconds):
        """Any time of the start, or a moment within a few steps and saves of some step."""
        deadline = time.monotonic() + generator.uniform(0, seconds)
        if generator.random() < 0.3:
            while process.running() and time.monotonic() < deadline:
                time.sleep(0.001)
            return
        file = run / "metrics.jsonl"
        begin = time.monotonic()
        before = file.read_bytes().count(b"\n") if file.exists() else 0
        step = generator.randint(1, 4)
        while process.running() and time.monotonic() < begin + 60 * support.SLOW:
            lines = file.read_bytes().count(b"\n") if file.exists() else 0
            if lines < before:
                before = 0
            if lines >= min(before + step, 12):
                break
            time.sleep(0.0005)
        time.sleep(generator.uniform(0, 0.02))

    def test_signals(self):
        # Large enough that a signal meets it while it trains.
        slow = {"data__sequence_length": 128, "train__steps": 60, "train__global_batch": 8,
                "train__schedule": {"name": "constant"},
                "data__validation": str(self.work / "valid.jsonl")}
        self.ok("train", self.write_config("whole", **slow))
        config = self.write_config("stopped", **slow)
        for number in (signal.SIGINT, signal.SIGTERM):
            process = support.Process("train", config)
            self.wait_for_steps(process, "stopped", 3 if number == signal.SIGINT else 8)
            process.send(number)
            result = process.wait()
            self.assertEqual(result.status, 128 + number, result.err)
            self.assertIn("the same command resumes", result.err)
            steps = metrics(self.work / "stopped")[0]
            self.assertLess(steps[-1]["step"], 60, "the run ended before the signal came")
            newest = checkpoints(self.work / "stopped")[-1].name
            self.assertEqual(newest, f"step-{steps[-1]['step']}")
            self.assertIn(f"after step {steps[-1]['step']}", result.err)
        self.ok("train", config)
        self.assert_each_step_once("stopped", 60)
        self.assert_same_run("whole", "stopped")

    def wait_for_steps(self, process, run, count, stale=None):
        """Until so many steps stand in metrics.jsonl, a stale one of before not counted."""
        file = self.work / run / "metrics.jsonl"
        deadline = time.monotonic() + 60 * support.SLOW
        while time.monotonic() < deadline and process.running():
            if (file.exists() and file.stat().st_ino != stale
                    and file.read_bytes().count(b'"loss"') >= count):
                return
            time.sleep(0.001)
        self.fail("the run made no steps: " + process.wait().err)

    def test_one_process_per_run_folder(self):
        config = self.write_config("run", train__steps=100000, data__sequence_length=128)
        first = support.Process("train", config)
        self.wait_for_steps(first, "run", 1)
        self.refused(3, "train", config, says=("in use", first.process.pid))
        self.assertTrue(first.running())
        first.send(signal.SIGTERM)
        self.assertEqual(first.wait().status, 128 + signal.SIGTERM)

    def test_steps_may_grow(self):
        constant = {"train__schedule": {"name": "constant"}, "train__eval_every": 3,
                    "data__validation": str(self.work / "valid.jsonl")}
        self.ok("train", self.write_config("whole", **constant))
        config = self.write_config("grown", **constant)
        self.ok("train", config, "--set", "train.steps=6")
        self.ok("train", config)
        self.assert_each_step_once("grown", 12)
        self.assert_same_run("whole", "grown")
        self.refused(3, "train", config, "--set", "train.steps=6", says=("train.steps",))

    def test_a_finished_run_changes_nothing(self):
        config = self.write_config("run", data__validation=str(self.work / "valid.jsonl"))
        self.ok("train", config)
        lines = (self.work / "run" / "metrics.jsonl").read_bytes()
        saved = checkpoints(self.work / "run")[-1] / "state.json"
        before = saved.stat()
        self.ok("train", config)
        self.assertEqual((self.work / "run" / "metrics.jsonl").read_bytes(), lines)
        self.assertEqual((saved.stat().st_ino, saved.stat().st_mtime_ns),
                         (before.st_ino, before.st_mtime_ns))

    def test_a_run_killed_before_its_first_checkpoint_starts_afresh(self):
        config = self.write_config("run", train__steps=100000, train__save_every=0,
                                   train__eval_every=100000,  # hundreds of steps may pass
                                   data__validation=str(self.work / "valid.jsonl"))
        process = support.Process("train", config)
        self.wait_for_steps(process, "run", 2)
        process.send(signal.SIGKILL)
        process.wait()
        self.assertEqual(checkpoints(self.work / "run"), [])
        stale = (self.work / "run/metrics.jsonl").stat().st_ino
        process = support.Process("train", config)
        self.wait_for_steps(process, "run", 2, stale)
        process.send(signal.SIGTERM)
        self.assertEqual(process.wait().status, 143)
        steps, evaluations = metrics(self.work / "run")
        self.assertEqual([row["step"] for row in steps], list(range(1, len(steps) + 1)))
        self.assertEqual([row["step"] for row in evaluations], [0])

    def test_changes_that_decide_the_result_are_refused_by_name(self):
        config = self.write_config("run", train__steps=2)
        self.ok("train", config)
        before = {path: path.read_bytes() for path in (self.work / "run").rglob("*")
                  if path.is_file() and path.name != "lock"}
        for option, value in {"train.optimizer.lr": "0.5", "train.seed": "4", "train.dtype": "bf16",
                              "train.microbatch": "2", "data.sequence_length": "40",
                              "data.pack": "false", "train.clip": "0.5", "init": "pretrained",
                              "train.schedule.name": "linear"}.items():
            with self.subTest(option):
                self.refused(3, "train", config, "--set", f"{option}={value}", says=(option,))
        for path, data in before.items():
            self.assertEqual(path.read_bytes(), data, path)
        # What only says how often to report or save may change.
        self.ok("train", config, "--set", "train.save_every=7", "--set", "budget.memory=1GiB")


    def test_changed_data_are_refused(self):
        config = self.write_config("run", train__schedule={"name": "constant"})
        self.ok("train", config, "--set", "train.steps=4")
        data = self.work / "train.jsonl"
        rows = data.read_text().splitlines()
        for changed in (rows[::-1], rows[:30], rows + rows[:1]):
            data.write_text("\n".join(changed) + "\n")
            self.refused(3, "train", config, says=("data", "changed"))
        data.write_text("\n".join(rows) + "\n")
        self.ok("train", config)


class SameBits(ProgramTest):
    def test_the_same_command_twice(self):
        for family, dtype, threads in (("gpt2", "bf16", 2), ("gemma3_text", "f32", 2),
                                       ("llama", "bf16", 1)):
            with self.subTest(f"{family} {dtype}"):
                self.tiny(family)
                for run in ("one", "two"):
                    self.ok("train", self.write_config(
                        f"{run}-{family}", train__dtype=dtype, threads=threads,
                        train__microbatch=2, data__validation=str(self.work / "valid.jsonl")))
                one, two = self.work / f"one-{family}", self.work / f"two-{family}"
                self.assertEqual(arithmetic_of(one), arithmetic_of(two))
                self.assertTrue(state_of(one) == state_of(two), "the checkpoints' bytes differ")

    def test_how_the_global_batch_is_split_moves_the_loss_by_rounding_only(self):
        """The microbatch is part of the arithmetic: not the same bits, but the same numbers."""
        self.tiny("llama")
        losses = {}
        for microbatch in (4, 2, 1):
            self.ok("train", self.write_config(f"split{microbatch}", train__microbatch=microbatch))
            losses[microbatch] = [row["loss"] for row in metrics(
                self.work / f"split{microbatch}")[0]]
        for microbatch in (2, 1):
            for whole, split in zip(losses[4], losses[microbatch], strict=True):
                self.assertLessEqual(abs(whole - split), 1e-6 * whole)


if __name__ == "__main__":
    unittest.main(verbosity=2)
