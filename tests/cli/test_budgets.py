"""Random models, runs and budgets: training, evaluation, generation and export stay within the
budget, say beforehand what they take, and give the bits of having all the memory they want.

As a program: test_budgets.py [--count N] [--seed S] runs as many as it is told to."""

import argparse
import os
import random
import sys
import unittest

import support
from support import ProgramTest, arithmetic_of
from test_memory import random_run

SEED = 11
COUNT = 12
MIB = 1 << 20


def table(text):
    """The line of the plan that holds its bytes: all its figures."""
    return [line for line in text.splitlines() if line.startswith(("RAM ", "disk "))]


def smallest_said(message):
    return int(message.split("--memory ")[1].split("MiB")[0]) * MIB


@unittest.skipIf(support.SANITIZER, "a sanitizer keeps memory of its own")
class Budgets(ProgramTest):
    count = COUNT
    seed = int(os.environ.get("OUTSIZE_TEST_SEED", SEED))

    def test_random_configurations(self):
        print(f"seed {self.seed}, {self.count} configurations", flush=True)
        generator = random.Random(self.seed)
        self.most, self.seen = {}, {"streamed runs": 0, "streamed evaluations": 0,
                                    "streamed generations": 0, "refused budgets": 0}
        for number in range(self.count):
            family, model, run = random_run(generator)
            with self.subTest(number=number, family=family, **model, **run):
                self.one(generator, family, model, run)
        most = ", ".join(f"{name} {size / MIB:.1f}" for name, size in self.most.items())
        seen = ", ".join(f"{count} {name}" for name, count in self.seen.items())
        print(f"{seen}\nmost MiB beside the arena: {most}", flush=True)
        for name, count in self.seen.items():
            self.assertGreater(count, 0, name)

    def within(self, name, result, bound, arena):
        self.assertLessEqual(result.peak_rss_bytes, bound, name)
        self.most[name] = max(self.most.get(name, 0), result.peak_rss_bytes - arena)

    def one(self, generator, family, model, run):
        for name in ("free", "small", "hf", "out.gguf"):
            support.shutil.rmtree(self.work / name, ignore_errors=True)
        self.tiny(family, rows=30, **model)
        run["data__validation"] = str(self.work / "valid.jsonl")
        free = self.write_config("free", **run)
        plan = self.ok("plan", free, "--json").json()
        process = plan["process_bytes"]
        self.within("train in RAM", self.ok("train", free), plan["arena_bytes"] + process,
                    plan["arena_bytes"])
        budget, small = self.budget_that_plans(generator, run, plan)
        arena = self.ok("plan", small, "--json").json()
        self.seen["streamed runs"] += arena["streams"]["store_bytes"] > 0
        self.assertLessEqual(arena["arena_bytes"] + process, budget)
        result = self.ok("train", small)
        self.within("train", result, budget, arena["arena_bytes"])
        self.assertEqual(table(self.ok("plan", small).out), table(result.err))
        self.assertEqual(arithmetic_of(self.work / "free"), arithmetic_of(self.work / "small"))
        self.forward(generator, run, process)
        for kind, out in (("hf", "hf"), ("gguf", "out.gguf")):
            if kind == "gguf" and "layer_types" in model:
                continue  # GGUF has no field for it
            self.within("export", self.ok("export", self.work / "small", "--format", kind,
                                          "--dtype", "f32", "--out", self.work / out), process, 0)

    def budget_that_plans(self, generator, run, plan):
        """Refused budgets are refused by `train` as by `plan`."""
        share = generator.uniform(0.1, 0.6)
        while True:
            budget = plan["process_bytes"] + int(plan["arena_bytes"] * share)
            config = self.write_config("small", budget__memory=budget, **run)
            tried = support.outsize("plan", config)
            if tried.status == 0:
                return budget, config
            self.assertEqual(tried.status, 5, tried.err)
            self.refused(5, "train", config, says=("OutOfMemory", "try"))
            self.seen["refused budgets"] += 1
            share *= 1.6

    def forward(self, generator, run, process):
        """Evaluation and generation under the smallest budget and one above it."""
        folder = self.work / "small"
        commands = {
            "streamed evaluations": (
                "eval", folder, "--data", self.work / "valid.jsonl", "--sequence-length",
                run["data__sequence_length"], "--rows", 1, "--dtype", run["train__dtype"]),
            "streamed generations": (
                "generate", folder, "--prompt", "the cat", "--max-new-tokens", 4)}
        for name, command in commands.items():
            expected = self.answer(self.ok(*command, "--json"))
            said = self.refused(5, *command, "--memory", process + 1,
                                says=("OutOfMemory", "try --memory"))
            smallest = smallest_said(said.err)
            for budget in (smallest, smallest + generator.randint(0, 16) * MIB):
                result = self.ok(*command, "--json", "--memory", budget)
                self.within(name, result, budget, smallest - process)
                self.assertEqual(self.answer(result), expected)
                self.seen[name] += "do not fit" in result.err

    @staticmethod
    def answer(result):
        """What does not depend on time."""
        return {key: value for key, value in result.json().items() if key != "seconds"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=Budgets.seed)
    options = parser.parse_args()
    Budgets.count, Budgets.seed = options.count, options.seed
    unittest.main(argv=sys.argv[:1], verbosity=2)
