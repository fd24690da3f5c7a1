"""Makes the golden files of the GGUF block decoders and the Q8_0 encoder with the gguf package.

golden/<type>.bin: u32 blocks, the blocks, then their f32 values from gguf.quants.dequantize.
golden/q8_0_encoded.bin: u32 blocks, f32 values, then their blocks from gguf.quants.quantize.
Blocks are random bytes whose f16 scales are made finite. Versions and seed: golden/README.txt.
Run from anywhere: python3 make_quant_goldens.py
"""

import pathlib
import struct
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

SEED = 20260101
BLOCKS = {32: 24, 256: 6}
# Byte offsets of the f16 fields of one block.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}


def make_decoder_golden(folder, kind, random):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = BLOCKS[elements]
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for offset in SCALES[kind]:
        scale = random.normal(0, 0.05, count).astype(np.float16)
        scale[0] = 0.0
        scale[1] = np.float16(3e-7)  # subnormal
        blocks[:, offset:offset + 2] = scale.view(np.uint8).reshape(count, 2)
    values = gguf.quants.dequantize(blocks, kind).astype(np.float32)
    data = struct.pack("<I", count) + blocks.tobytes() + values.tobytes()
    (folder / f"{kind.name.lower()}.bin").write_bytes(data)


def make_encoder_golden(folder, random):
    values = random.normal(0, 1, (64, 32)).astype(np.float32)
    values *= np.float32(10.0) ** random.integers(-6, 6, (64, 1)).astype(np.float32)
    values[0] = 0
    values[1] = np.arange(-16, 16) * 0.5  # rounding ties at scale 8 / 127
    values[2] = np.linspace(-127, 127, 32)
    values[3] = np.arange(32) - 15.5
    values[3, 0] = 127  # scale 1: halves round away from zero
    blocks = gguf.quants.quantize(values, Type.Q8_0)
    data = struct.pack("<I", 64) + values.tobytes() + blocks.tobytes()
    (folder / "q8_0_encoded.bin").write_bytes(data)


def main():
    folder = pathlib.Path(__file__).parent / "golden"
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(SEED)
    for kind in SCALES:
        make_decoder_golden(folder, kind, random)
    make_encoder_golden(folder, random)
    from importlib.metadata import version
    (folder / "README.txt").write_text(
        "Made by make_quant_goldens.py; layout in its head comment.\n"
        f"python {sys.version.split()[0]}, numpy {np.__version__}, gguf {version('gguf')}, "
        f"seed {SEED}\n")


if __name__ == "__main__":
    main()
