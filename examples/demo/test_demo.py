"""Tests of the demo's own logic; no network, no model and nothing beyond the standard library."""

import contextlib
import io
import json
import pathlib
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import evaluate  # noqa: E402
import kill_once  # noqa: E402
import make_dataset  # noqa: E402
import report  # noqa: E402


def index(sources=400):
    """A made-up Packages file: each source builds a library, its -dev and its -doc package."""
    lines = []
    for number in range(sources):
        for suffix, section in (("", "libs"), ("-dev", "contrib/libdevel"), ("-doc", "doc")):
            lines += [f"Package: lib{number}{suffix}", f"Source: src{number} (1.{number})",
                      f"Description: library {number}: it's fast", " a longer text", "Tag: a,",
                      f"Section: {section}", ""]
    return lines


class Dataset(unittest.TestCase):
    def setUp(self):
        self.packages = {}
        make_dataset.add_packages(self.packages, index())

    def test_reads_fields(self):
        self.assertEqual(len(self.packages), 1200)
        self.assertEqual(self.packages["lib7-dev"], ("src7", "library 7: it's fast", "libdevel"))

    def test_row_text(self):
        self.assertEqual(make_dataset.row_of("a", "b c", "net"),
                         {"prompt": "Package: a\nDescription: b c\nSection:",
                          "completion": " net"})

    def test_incomplete_stanzas_and_repeats_are_left_out(self):
        packages = {}
        make_dataset.add_packages(packages, ["Package: a", "Section: net", "", "Package: b",
                                             "Description: x", "", "Package: c",
                                             "Description: y", "Section: non-free/games", "",
                                             "", "Package: c", "Description: z",
                                             "Section: net"])
        self.assertEqual(packages, {"c": ("c", "y", "games")})

    def test_no_source_is_on_both_sides(self):
        parts = make_dataset.split(self.packages, None, 20, 20)
        sources = {name: {row["prompt"].split("\n")[1] for row in rows}
                   for name, rows in parts.items()}
        self.assertEqual(sources["train"] & (sources["valid"] | sources["test"]), set())
        self.assertEqual(sources["valid"] & sources["test"], set())
        self.assertTrue(all(sources.values()))

    def test_fewer_rows_are_a_prefix_and_leave_the_held_out_rows_alone(self):
        whole = make_dataset.split(self.packages, None, 20, 20)
        part = make_dataset.split(self.packages, 50, 20, 20)
        self.assertEqual(part["train"], whole["train"][:50])
        self.assertEqual((part["valid"], part["test"]), (whole["valid"], whole["test"]))
        less = make_dataset.split(self.packages, 50, 20, 5)
        self.assertEqual((less["valid"], less["test"]), (whole["valid"], whole["test"][:5]))

    def test_order_does_not_depend_on_the_index(self):
        turned = dict(reversed(self.packages.items()))
        self.assertEqual(make_dataset.split(self.packages, 50, 20, 20),
                         make_dataset.split(turned, 50, 20, 20))

    def test_one_source_cannot_fill_the_held_out_rows(self):
        packages = {f"p{n}": ("one", "text", "net") for n in range(100)}
        packages |= {f"q{n}": (f"src{n}", "text", "net") for n in range(2000)}
        parts = make_dataset.split(packages, None, 500, 500)
        held_out = [row for name in ("valid", "test") for row in parts[name]]
        of_one = [row for row in held_out if row["prompt"].startswith("Package: p")]
        self.assertLessEqual(len(of_one), make_dataset.ROWS_PER_HELD_OUT_SOURCE)


class Evaluate(unittest.TestCase):
    ROWS = [{"prompt": f"Package: p{n}", "completion": " net"} for n in range(4)]

    def fake(self, folder, body):
        """A stand-in for the program: a script that reads the prompts and prints `body`."""
        path = pathlib.Path(folder, "outsize")
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        return str(path)

    def test_score_counts_the_first_line_only(self):
        texts = [" net", "\n net\nPackage: q", " network", ""]
        answers, correct = evaluate.score(self.ROWS, texts)
        self.assertEqual(correct, 2)
        self.assertEqual([item["answer"] for item in answers], ["net", "net", "network", ""])

    def test_prompts_go_out_and_completions_come_back_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            body = ('[ "$1 $2 $3" = "generate m --prompts-file" ] || exit 3\n'
                    r'sed "s/.*Package: \(.*\)\"}/{\"completion\": \" \1\"}/" "$4"')
            texts = evaluate.generate(self.fake(folder, body), "m", self.ROWS, folder)
        self.assertEqual(texts, [" p0", " p1", " p2", " p3"])

    def test_missing_completion_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            program = self.fake(folder, """echo '{"completion": "x"}'\n""")
            with self.assertRaises(SystemExit) as caught:
                evaluate.generate(program, "m", self.ROWS, folder)
        self.assertIn("1 completions printed; expected 4", str(caught.exception))


class KillOnce(unittest.TestCase):
    def kill(self, folder, body):
        metrics = pathlib.Path(folder, "metrics.jsonl")
        return kill_once.kill_at(2, metrics, ["/bin/sh", "-c", body, "sh", str(metrics)])

    def test_kills_when_the_steps_are_there(self):
        with tempfile.TemporaryDirectory() as folder:
            body = ("""echo '{"step": 0, "validation_loss": 1}' > "$1"; """
                    """for i in 1 2; do echo '{"loss": 1}' >> "$1"; done; exec sleep 60""")
            self.assertEqual(self.kill(folder, body), 2)

    def test_a_training_that_ends_before_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(SystemExit) as caught:
                self.kill(folder, """echo '{"loss": 1}' > "$1"; exit 3""")
        self.assertIn("ended with status 3 after 1 steps", str(caught.exception))


class Report(unittest.TestCase):
    def test_table(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            for name, value in {"loss-before": {"loss": 3.0}, "loss-after": {"loss": 0.5},
                                "accuracy-before": {"accuracy": 0.1},
                                "accuracy-after": {"accuracy": 0.86},
                                "classifier": {"accuracy": 0.83, "rows": 100,
                                               "train_rows": 12000}}.items():
                (work / f"{name}.json").write_text(json.dumps(value))
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                report.print_table(work)
            self.assertIn("3.0 points above", printed.getvalue())
            self.assertEqual(report.read_json(work / "summary.json")["after"]["loss"], 0.5)

    def write_run(self, work, name, loss, seconds, weights):
        """A run of three steps that ends with this loss, and its exported weights."""
        (work / f"{name}run").mkdir()
        rows = [{"step": step, "loss": loss if step == 3 else 2.0, "grad_norm": 1.0,
                 "seconds": seconds, "predicted_seconds": 1.0, "peak_rss_bytes": 2 ** 30}
                for step in (1, 2, 3)] + [{"step": 3, "validation_loss": 0.5, "seconds": seconds}]
        (work / f"{name}run" / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
        header = json.dumps({"__metadata__": {}, "a": {}, "b": {}}).encode()
        (work / f"{name}weights").mkdir()
        (work / f"{name}weights" / "model.safetensors").write_bytes(
            struct.pack("<Q", len(header)) + header + weights)

    def compare(self, loss=1.0, weights=b"same"):
        """What is printed of a run and an unbroken one that has another speed."""
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            self.write_run(work, "", 1.0, 3.0, b"same")
            self.write_run(work, "unbroken-", loss, 4.0, weights)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                report.print_same(work)
            return printed.getvalue()

    def test_same_counts_what_was_compared(self):
        self.assertIn("unbroken run: 3 losses, 1 validations, all 2 weight tensors",
                      self.compare())

    def test_other_losses_or_weights_are_not_the_same(self):
        for changes in ({"loss": 1.0000001}, {"weights": b"sAme"}):
            with self.assertRaises(SystemExit) as caught:
                self.compare(**changes)
            self.assertIn("[same]", str(caught.exception))

    def test_pick_spreads_over_the_file(self):
        rows = list(range(100))
        self.assertEqual([before for before, _ in report.pick(rows, rows, 4)], [0, 25, 50, 75])
        self.assertEqual(len(report.pick(rows[:3], rows[:3], 8)), 3)


if __name__ == "__main__":
    unittest.main()
