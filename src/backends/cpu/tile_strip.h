// The innermost part of TileProduct: some rows and columns of a product on AMX's tile registers, by
// one thread. Plain declarations: tile_strip_amx.cc is compiled for amx.
#pragma once

#include <stdint.h>

#include "backends/cpu/tile_operands.h"

namespace outsize {

// How the tile registers get a: the rows where they lie in memory, tiles that fill_left_tiles has
// written of all of it, or each panel copied into tiles before it is used.
enum class TileLeft { in_place, in_tiles, copied };

// c = a·b (+ bias), or c += a·b.
struct TileStrip {
  TileSource a;  // side: rows
  TileLeft left;
  const char* left_tiles;  // of these rows, where it is in_tiles
  TileSource b;            // side: columns; f32 if a is
  const float* bias;       // [columns], or [rows] where c is turned, or nullptr
  void* c;
  int64_t c_stride;  // elements
  bool c_is_bf16;
  bool c_is_turned;    // [columns, rows]
  bool accumulates;    // f32 alone
  bool past_caches;    // whole lines of f32, which must be aligned, are written past the caches
  int64_t depth_each;  // summed at one go, a multiple of kTileStep
  void* scratch;       // strip_scratch_bytes, aligned to 64
};

namespace isa_amx {
// Of a strip of up to so many rows and columns.
int64_t strip_scratch_bytes(int64_t rows, int64_t columns, int64_t depth, int64_t depth_each,
                            bool is_f32);
void multiply_strip(const TileStrip& strip);
}  // namespace isa_amx

}  // namespace outsize
