"""The program kills itself at every named point of a run (docs/DURABILITY.md), is started again,
and ends with the bits of a run that was left alone."""

import pathlib
import re
import signal
import unittest

import support
from support import ProgramTest, arithmetic_of, checkpoints

STEPS = 4
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "DURABILITY.md"


def kill_points():
    """phase -> points, from the page's table."""
    section = PAGE.read_text(encoding="utf-8").split("## Kill points")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([a-z ()]+) \| ([a-z_, ]+) \|$", section, re.MULTILINE)
    return {phase: points.split(", ") for phase, points in rows if phase != "phase"}


@unittest.skipIf(support.SANITIZER, "a sanitizer keeps memory of its own")
class KillPoints(ProgramTest):
    def setUp(self):
        super().setUp()
        self.points = kill_points()
        self.assertEqual(set(self.points), {"creation", "writes", "log", "group (ring)", "commit",
                                            "checkpoint", "metrics"})

    def kill_at(self, config, point, times):
        """True when the run was killed there; it ends well where the point is never reached."""
        result = support.outsize("train", config,
                                 env={"OUTSIZE_KILL_AT": f"{point}:{times}"})
        self.assertIn(result.status, (0, -signal.SIGKILL), result.err)
        return result.status != 0

    def kill_and_resume(self, points, whole, changes, compare):
        reached = set()
        for number, point in enumerate(points):
            config = self.write_config(point, **changes)
            if self.kill_at(config, point, 1):
                reached.add(point)
            self.kill_at(config, point, 1 + number % 3)  # again, mostly in another step
            self.ok("train", config)
            self.assertEqual(arithmetic_of(whole), arithmetic_of(self.work / point), point)
            compare(whole, self.work / point, point)
            support.shutil.rmtree(self.work / point)
        return reached

    def test_of_checkpoints(self):
        self.tiny("qwen2")
        changes = {"train__steps": STEPS, "train__save_every": 1, "train__keep_checkpoints": 1}
        self.ok("train", self.write_config("whole", **changes))
        points = self.points["checkpoint"] + self.points["metrics"]

        def compare(whole, run, point):
            states = [(checkpoints(folder)[-1] / "state.safetensors").read_bytes()
                      for folder in (whole, run)]
            self.assertTrue(states[0] == states[1], point)

        reached = self.kill_and_resume(points, self.work / "whole", changes, compare)
        self.assertEqual(reached, set(points))

    def test_of_a_store_with_two_slots(self):
        self.of_a_store("two_slots", ("creation", "writes", "commit", "metrics"))

    def test_of_a_store_with_a_log(self):
        self.of_a_store("ring", ("creation", "writes", "log", "group (ring)", "commit", "metrics"))

    def of_a_store(self, layout, phases):
        # The smallest whose streamed plan needs less than the resident one.
        self.tiny("qwen2", hidden_size=96, intermediate_size=384, vocab_size=4001)
        changes = {"train__dtype": "bf16", "train__microbatch": 2, "train__steps": STEPS}
        plan = self.ok("plan", self.write_config("any", **changes), "--json").json()
        changes["budget__memory"] = plan["arena_bytes"] * 3 // 4 + plan["process_bytes"]
        changes["budget__store"] = layout
        self.ok("train", self.write_config("whole", **changes))
        self.assertTrue((self.work / "whole" / "store" / "state").exists())
        self.export("whole")

        def compare(_, run, point):
            self.export(run.name)
            weights = [(self.work / f"{name}-hf" / "model.safetensors").read_bytes()
                       for name in ("whole", run.name)]
            self.assertTrue(weights[0] == weights[1], point)
            support.shutil.rmtree(self.work / f"{run.name}-hf")

        points = [point for phase in phases for point in self.points[phase]]
        reached = self.kill_and_resume(points, self.work / "whole", changes, compare)
        self.assertEqual(reached, set(points))

    def export(self, name):
        self.ok("export", self.work / name, "--format", "hf", "--dtype", "f32", "--out",
                self.work / f"{name}-hf")

    def test_an_unknown_point_is_refused(self):
        self.tiny("qwen2")
        self.refused(3, "train", self.write_config("run"),
                     env={"OUTSIZE_KILL_AT": "somewhere:1"},
                     says=("InvalidArgument", "OUTSIZE_KILL_AT", "somewhere"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
