// The innermost part of TileProduct: some rows and columns of a product on AMX's tile registers, by
// one thread. Plain declarations: tile_strip_amx.cc is compiled for amx.
#pragma once

#include <stdint.h>

#include "backends/cpu/tile_operands.h"

namespace outsize {

// Rows of a as they lie in memory, or tiles that fill_left_tiles has written: the 32 elements of
// row r (< 32) of panel p in step s begin at data + panel·p + row·r + step·s.
struct TileLeft {
  const char* data;
  int64_t panel, row, step;  // bytes
  bool in_tiles;             // so every panel and step is whole
  bool lies_well;            // false: each panel is copied before it is read
};

// c = a·b (+ bias), or c += a·b.
struct TileStrip {
  TileLeft a;
  TileSource b;       // side: columns
  const float* bias;  // [columns], or nullptr
  void* c;
  int64_t c_stride;  // elements
  bool c_is_bf16;
  bool c_is_turned;  // f32 [columns, rows], without bias
  bool accumulates;  // f32 alone
  int64_t rows;
  int64_t depth_each;  // summed at one go, a multiple of kTileStep
  void* scratch;       // strip_scratch_bytes, aligned to 64
};

namespace isa_amx {
// Of a strip of up to so many rows and columns.
int64_t strip_scratch_bytes(int64_t rows, int64_t columns, int64_t depth, int64_t depth_each);
void multiply_strip(const TileStrip& strip);
}  // namespace isa_amx

}  // namespace outsize
