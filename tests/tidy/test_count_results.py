"""The total over all runners: what JUnit files of CTest and pytest say must be added up rightly."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COUNT = ROOT / "scripts" / "count_results.py"

CTEST = """<testsuite name="x" tests="4">
<testcase name="a" status="run"/><testcase name="b" status="fail"><failure/></testcase>
<testcase name="c" status="notrun"><skipped/></testcase><testcase name="d" status="disabled"/>
</testsuite>"""
PYTEST = """<testsuites><testsuite name="pytest"><testcase name="a"/>
<testcase name="b"><skipped message="m"/></testcase><testcase name="c"><error/></testcase>
</testsuite></testsuites>"""


class CountResults(unittest.TestCase):
    def run_on(self, *texts):
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for number, text in enumerate(texts):
                paths.append(pathlib.Path(folder, f"{number}.xml"))
                paths[-1].write_text(text)
            result = subprocess.run([sys.executable, "-B", COUNT, *paths], capture_output=True,
                                    text=True)
        return result.stdout, result.returncode

    def test_adds_up(self):
        self.assertEqual(self.run_on(CTEST, PYTEST), ("2 passed, 2 failed, 3 skipped\n", 1))

    def test_all_passed(self):
        self.assertEqual(self.run_on('<testsuite><testcase name="a"/></testsuite>'),
                         ("1 passed, 0 failed, 0 skipped\n", 0))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.run_on("<testsuite/>"), ("0 passed, 0 failed, 0 skipped\n", 1))

    def test_noted_failure_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.xml")
            subprocess.run([sys.executable, "-B", COUNT, "--note-failure", "build", path],
                           check=True)
            self.assertEqual(self.run_on(path.read_text()), ("0 passed, 1 failed, 0 skipped\n", 1))


if __name__ == "__main__":
    unittest.main()
