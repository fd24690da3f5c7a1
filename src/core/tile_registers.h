// AMX's eight tile registers, each of 16 rows of 16 words (f32, or pairs of bf16). Only for sources
// that are compiled for amx.
#pragma once

#include "core/simd.h"

namespace outsize::OUTSIZE_ISA {

constexpr int64_t kTileSide = 16;   // rows, and words of a row
constexpr int64_t kTileBytes = 64;  // of a row

// GCC's intrinsics do not say which memory they read: what is written for them must not be put off.
OUTSIZE_INLINE void write_now() {
  __asm__ volatile("" ::: "memory");
}

// Palette 1: eight registers, described like those after them, which are not there.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16];
  uint8_t rows[16];
  constexpr TileConfig() : row_bytes(), rows() {
    for (int i = 0; i < 8; ++i) {
      row_bytes[i] = kTileBytes;
      rows[i] = kTileSide;
    }
  }
};
constexpr TileConfig kTileConfig;

// While it lives, this thread's eight tile registers have 16 rows of 64 bytes.
class TileRegisters {
 public:
  TileRegisters() { _tile_loadconfig(&kTileConfig); }
  ~TileRegisters() { _tile_release(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

}  // namespace outsize::OUTSIZE_ISA
