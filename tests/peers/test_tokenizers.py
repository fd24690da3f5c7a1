"""A short run of the tokenizer parity script on real vocabularies. The long one, with 100,000
strings and all vocabularies, is tests/tokenizer/peer_parity.py itself."""

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.parametrize("vocabulary", ["gemma", "qwen2"])
def test_ids_equal_the_peers(outsize, vocabulary):
    tool = outsize.parents[2] / "tests" / "tokenizer" / "tokenize_tool"
    assert tool.is_file(), f"{tool} is not built"
    script = ROOT / "tests" / "tokenizer" / "peer_parity.py"
    command = [sys.executable, script, "--tool", tool, "--strings", "500", "--only", vocabulary]
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert " passed, 0 failed" in result.stdout
