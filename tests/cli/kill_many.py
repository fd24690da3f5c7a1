"""kill -9 at hundreds of random instants: of runs that stream their state under budgets that
change from start to start, and of runs with checkpoints whose intervals change. Every run is then
left to end and must have the bits of one that was never disturbed.

    OUTSIZE_PROGRAM=build/release/src/cli/outsize python3 -B tests/cli/kill_many.py --kills 300
"""

import argparse
import random
import signal
import time
import unittest

import support
from support import ProgramTest, arithmetic_of, metrics

STEPS = 12
KILLS_PER_RUN = 12

options = argparse.Namespace(kills=300, seed=20240613)


class KillMany(ProgramTest):
    def two_slots(self):
        return self.streamed("two_slots")

    def ring(self):
        return self.streamed("ring")

    def streamed(self, layout):
        """(changes, overrides of one start) of a run whose state is in a store."""
        changes = {"train__dtype": "bf16", "train__microbatch": 2, "train__steps": STEPS,
                   "train__eval_every": 5, "data__validation": str(self.work / "valid.jsonl")}
        plan = self.ok("plan", self.write_config("any", **changes), "--json").json()
        least = plan["arena_bytes"] * 3 // 4 + plan["process_bytes"]
        changes["budget__memory"], changes["budget__store"] = least, layout
        # Never so much that all fits RAM: a run that begins with checkpoints goes on with them.
        more = plan["arena_bytes"] // 32
        return changes, lambda dice: {"budget.memory": least + dice.randint(0, 4) * more}

    def resident(self):
        changes = {"train__microbatch": 2, "train__steps": STEPS, "train__eval_every": 5,
                   "data__validation": str(self.work / "valid.jsonl")}
        return changes, lambda dice: {"train.save_every": dice.randint(1, 4),
                                      "train.keep_checkpoints": dice.randint(1, 3),
                                      "budget.memory": dice.choice((1, 2, 3)) << 30}

    def weights(self, run):
        out = self.work / f"{run}-hf"
        self.ok("export", self.work / run, "--format", "hf", "--dtype", "f32", "--out", out)
        data = (out / "model.safetensors").read_bytes()
        support.shutil.rmtree(out)
        return data

    def kill_some(self, config, dice, overrides, seconds, wanted):
        """Kills one run up to `wanted` times; fewer when it ends before."""
        kills = 0
        while kills < wanted:
            sets = [word for key, value in overrides(dice).items()
                    for word in ("--set", f"{key}={value}")]
            process = support.Process("train", config, *sets)
            deadline = time.monotonic() + dice.uniform(0, seconds)
            while process.running() and time.monotonic() < deadline:
                time.sleep(0.0005)
            process.send(signal.SIGKILL)
            if process.wait().status == 0:
                break
            kills += 1
        return kills

    def hunt(self, kind, dice, wanted):
        changes, overrides = kind()
        begin = time.monotonic()
        self.ok("train", self.write_config("whole", **changes))
        seconds = time.monotonic() - begin
        whole, weights = arithmetic_of(self.work / "whole"), self.weights("whole")
        kills = runs = 0
        while kills < wanted:
            runs += 1
            name = f"run{runs}"
            config = self.write_config(name, **changes)
            kills += self.kill_some(config, dice, overrides, seconds,
                                    min(KILLS_PER_RUN, wanted - kills))
            self.ok("train", config)
            self.assertEqual([row["step"] for row in metrics(self.work / name)[0]],
                             list(range(1, STEPS + 1)))
            self.assertEqual(whole, arithmetic_of(self.work / name))
            self.assertTrue(weights == self.weights(name), "the weights differ")
            support.shutil.rmtree(self.work / name)
            self.assertLess(runs, wanted + 10, "runs always ended before they could be killed")
        support.shutil.rmtree(self.work / "whole")
        print(f"{kind.__name__}: {kills} kills in {runs} runs of {STEPS} steps, all as "
              f"undisturbed, {time.monotonic() - begin:.0f} s", flush=True)

    def test_kill_many(self):
        print(f"seed {options.seed}", flush=True)
        dice = random.Random(options.seed)
        self.tiny("qwen2", hidden_size=96, intermediate_size=384, vocab_size=4001)
        third = options.kills // 3
        self.hunt(self.two_slots, dice, third)
        self.hunt(self.ring, dice, third)
        self.hunt(self.resident, dice, options.kills - 2 * third)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=options.kills)
    parser.add_argument("--seed", type=int, default=options.seed)
    parser.parse_args(namespace=options)
    unittest.main(argv=["kill_many"], verbosity=2)
