"""What `outsize plan` tells beyond a table: why, what changes would buy, where it would fit, on
which machine; and how a run's end compares with it."""

import json
import re
import unittest
import xml.etree.ElementTree

import support
from support import ProgramTest, metrics

MIB = 1 << 20

# A machine nobody here owns, by hand: everything that docs/MACHINE.md names for one.
MACHINE = {
    "name": "by hand",
    "cpu": {"cores": 16, "gemm_gflops": {"f32": 50, "bf16": 100}},
    "ram": {"total_bytes": 48 << 30, "copy_gb_per_second": 40},
    "disk": {"free_bytes": 10**12, "read_gb_per_second": 0.5, "write_gb_per_second": 0.25,
             "latency_seconds": 1e-4},
    "device": {"model": "a GPU", "memory_bytes": 24 << 30, "memory_gb_per_second": 1000,
               "gemm_gflops": {"f32": 80000, "bf16": 160000}},
    "h2d": {"gb_per_second": 25, "latency_seconds": 1e-5},
    "d2h": {"gb_per_second": {"median": 25, "p10": 24, "p90": 26}},
    "net": {"gb_per_second": 12.5, "latency_seconds": 5e-6},
    "slowdown": {"cpu": {"disk_read": 1.1, "h2d": 1.05}, "device": {"net": 1.2}},
}


class Plan(ProgramTest):
    def setUp(self):
        super().setUp()
        # State of some 50 MB.
        self.tiny("qwen2", hidden_size=192, intermediate_size=768, num_hidden_layers=3,
                  vocab_size=8009)
        self.machine = self.work / "machine.json"
        self.machine.write_text(json.dumps(MACHINE))
        self.changes = {"train__dtype": "f32", "machine": str(self.machine)}
        self.config = self.write_config("run", **self.changes)

    def plan(self, *arguments):
        return self.ok("plan", self.config, "--json", *arguments).json()

    def smallest(self):
        """Bytes, from what is said when nothing fits."""
        said = self.refused(5, "plan", self.config, "--set", "budget.memory=1MiB",
                            says=("the smallest budget that plans",)).err
        return int(re.search(r"budget\.memory=(\d+)MiB", said).group(1)) * MIB

    def curve(self, *arguments):
        return self.ok("plan", self.config, "--curve", "memory", "--json", *arguments).json()

    def test_explains_itself(self):
        small = f"budget.memory={self.smallest() + 2 * MIB}"
        plan = self.plan("--set", small)
        self.assertIn(plan["forecast"]["limit"], ("cpu", "disk_read", "disk_write", "waiting"))
        self.assertGreater(plan["disk_bytes_by_kind"]["optimizer"], 0)
        changes = {row["change"]: row for row in plan["explanation"]["changes"]}
        self.assertEqual(list(changes), ["+1 GiB RAM", "a disk twice as fast", "moments in bf16",
                                         "no clipping"])
        self.assertLess(changes["a disk twice as fast"]["share"], 1)
        for change in changes.values():  # each is what planning it says
            if change["setting"]:
                again = self.plan("--set", small, "--set", change["setting"])
                self.assertAlmostEqual(again["predicted_seconds"], change["step_seconds"])
        text = self.ok("plan", self.config, "--set", small).out
        for word in ("limit    ", "next: ", "more     ", "+1 GiB RAM", "planned  in", "\ndisk  ",
                     "TFLOP/s", "GB/s"):
            self.assertIn(word, text)

    def test_ops_of_a_run_at_their_own_sizes(self):
        said = self.refused(3, "profile", "--run", self.config, "--out", self.machine,
                            says=("measured otherwise",)).err
        threads, isa = re.search(r"expected (\d+), (\w+);", said).groups()
        machine = {**MACHINE, "cpu": {**MACHINE["cpu"], "cores": int(threads), "isa": isa}}
        self.machine.write_text(json.dumps(machine))
        before = self.plan()["predicted_seconds"]
        told = self.ok("profile", "--run", self.config, "--out", self.machine).out
        calls = json.loads(self.machine.read_text())["calls"]
        self.assertIn(f"{len([c for c in calls if 'lm_loss_grad' not in c['call']])}", told)
        # Every op of a training step, a head with few targets among them; of no other run.
        names = {call["call"].split("{")[0] for call in calls}
        self.assertLessEqual({"embedding", "rms_norm", "rope", "linear", "attention",
                              "attention_grad", "linear_grad_weight", "lm_loss_grad"}, names)
        self.assertGreater(len([c for c in calls if c["call"].startswith("lm_loss_grad")]), 1)
        # These go before rates.
        priced = self.plan()["predicted_seconds"]
        self.assertNotEqual(priced, before)
        machine = json.loads(self.machine.read_text())
        for call in machine["calls"]:
            call["seconds"] *= 100
        self.machine.write_text(json.dumps(machine))
        self.assertGreater(self.plan()["predicted_seconds"], priced)
        # Measured again they are replaced, not added to.
        self.ok("profile", "--run", self.config, "--out", self.machine)
        self.assertEqual(len(json.loads(self.machine.read_text())["calls"]), len(calls))
        self.refused(2, "profile", "--set", "train.clip=0")

    def test_curve_over_memory(self):
        picture = self.work / "curve.svg"
        curve = self.curve("--svg", picture)
        points = curve["points"]
        budgets = [point["memory_bytes"] for point in points]
        self.assertEqual(budgets, sorted(set(budgets)))
        self.assertEqual(points[-1]["resident_share"], 1)
        self.assertEqual(points[-1]["written_bytes_per_step"], 0)
        self.assertGreater(points[0]["step_seconds"], points[-1]["step_seconds"])
        for point in (points[0], points[-1]):
            plan = self.plan("--set", f"budget.memory={point['memory_bytes']}")
            self.assertAlmostEqual(plan["predicted_seconds"], point["step_seconds"])
        first = picture.read_bytes()
        tags = [element.tag for element in xml.etree.ElementTree.fromstring(first).iter()]
        self.assertEqual(sum(tag.endswith("circle") for tag in tags), len(points))
        self.assertEqual(self.curve("--svg", picture), curve)
        self.assertEqual(picture.read_bytes(), first)
        usage = self.refused(2, "plan", self.config, "--svg", picture).err
        self.assertIn("--svg requires --curve", usage)
        self.machine.unlink()
        self.refused(3, "plan", self.config, "--curve", "memory", says=("no machine file",))

    def test_what_fits_is_named_where_nothing_does(self):
        tight = f"budget.memory={self.smallest() - 4 * MIB}"
        for command in ("plan", "train"):
            message = self.refused(5, command, self.config, "--set", tight,
                                   says=("OutOfMemory", " within ")).err.splitlines()[-1]
        settings = re.search(r", or (.*) within ", message).group(1).split()
        arguments = [word for setting in settings for word in ("--set", setting)]
        self.plan("--set", tight, *arguments)
        budget = re.search(r"try (budget\.memory=\w+)", message).group(1)
        self.plan("--set", budget)

    def test_machine_of_somebody_else(self):
        other = {**MACHINE, "cpu": {"cores": 64, "gemm_gflops": {"f32": 5000, "bf16": 10000}},
                 "ram": {"total_bytes": 30 << 30}}
        path = self.work / "other.json"
        path.write_text(json.dumps(other))
        here, there = self.plan(), self.plan("--machine", path)
        self.assertLess(there["predicted_seconds"], here["predicted_seconds"])
        self.assertEqual(there["budget_bytes"] + there["process_bytes"], 30 << 30)
        self.assertEqual(self.plan("--machine", path, "--set", "budget.memory=2GiB")
                         ["budget_bytes"], (2 << 30) - there["process_bytes"])
        self.refused(4, "plan", self.config, "--machine", self.work / "none.json",
                     says=("none.json",))
        path.write_text(json.dumps({**other, "h2d": {"gb_per_secnd": 1}}))
        self.refused(3, "plan", self.config, "--machine", path, says=("h2d.gb_per_secnd",))

    def test_a_run_is_held_against_its_plan(self):
        trace = self.work / "trace.json"
        result = self.ok("train", self.config, "--set", "train.steps=4", "--trace", trace)
        self.assertRegex(result.err, r"s/step \(plan \d+\.\d\d\)")
        self.assertRegex(result.err, r"4 steps, median \d+\.\d\d s, foretold \d+\.\d\d s \([+-]"
                                     r"\d+\.\d %\); peak memory .*, planned .* \(\+\d+\.\d %\)")
        sides = {}
        for event in json.loads(trace.read_text())["traceEvents"]:
            if event["ph"] == "X":
                sides.setdefault(event["pid"], []).append(event)
        foretold, measured = sides.values()
        self.assertEqual([event["name"] for event in foretold],
                         [event["name"] for event in measured])
        for left, right in zip(foretold, measured):
            self.assertAlmostEqual(left["args"]["measured_ms"], right["dur"] / 1e3)
            self.assertAlmostEqual(right["args"]["foretold_ms"], left["dur"] / 1e3)
        # The timeline is of the last step's targets, as its prediction is.
        end = max(event["ts"] + event["dur"] for event in foretold) / 1e6
        last = metrics(self.work / "run")[0][-1]
        self.assertAlmostEqual(end, last["predicted_seconds"], delta=1e-6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
