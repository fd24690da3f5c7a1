// Operands of products on AMX's tile registers, as the registers load them. Plain declarations:
// tile_operands_amx.cc is compiled for amx.
#pragma once

#include <stdint.h>

namespace outsize {

// Sides of the squares of a result that the registers hold at once, and elements of one step along
// the summed axis. Operands go in panels of as many rows (of the left one) or columns (of the
// right), a panel in steps, a step in two tiles of 1 KiB: 16 rows of 32 elements of the left one,
// 16 columns in 16 lines of pairs of the right. Panels and steps are filled up with zeros.
constexpr int64_t kTileSquare = 32;
constexpr int64_t kTileStep = 32;
constexpr int64_t kTileStepBytes = 2048;

constexpr int64_t tile_panels(int64_t side) {
  return (side + kTileSquare - 1) / kTileSquare;
}
constexpr int64_t tile_steps(int64_t depth) {
  return (depth + kTileStep - 1) / kTileStep;
}
constexpr int64_t tile_bytes(int64_t side, int64_t depth) {
  return tile_panels(side) * tile_steps(depth) * kTileStepBytes;
}

// Part of a row-major bf16 matrix, [side, depth], or [depth, side] where `depth_first`.
struct TileSource {
  const uint16_t* data;
  int64_t stride;  // of a row, in elements
  int64_t side, depth;
  bool depth_first;
};

namespace isa_amx {
// Write tile_bytes(side, depth), aligned to 64.
void fill_left_tiles(const TileSource& from, void* to);
void fill_right_tiles(const TileSource& from, void* to);
}  // namespace isa_amx

}  // namespace outsize
