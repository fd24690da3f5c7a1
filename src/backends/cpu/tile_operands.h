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

// An element of f32 goes as the sum of three of bf16, which is exact: the first is the element
// rounded, each other what those before leave. So a step of f32 is three steps of bf16, one after
// the other, and its elements j and j + 16 make a pair instead of 2j and 2j + 1.
constexpr int64_t kF32Parts = 3;

// Bytes of one step, and of a whole operand.
constexpr int64_t tile_step_bytes(bool is_f32) {
  return is_f32 ? kF32Parts * kTileStepBytes : kTileStepBytes;
}
constexpr int64_t tile_bytes(int64_t side, int64_t depth, bool is_f32) {
  return tile_panels(side) * tile_steps(depth) * tile_step_bytes(is_f32);
}

// Part of a row-major matrix, [side, depth], or [depth, side] where `depth_first`.
struct TileSource {
  const char* data;
  int64_t row;  // bytes from one to the next
  int64_t side, depth;
  bool depth_first;
  bool is_f32;  // else bf16

  int64_t element() const { return is_f32 ? 4 : 2; }  // bytes
  int64_t side_bytes() const { return depth_first ? element() : row; }
  int64_t depth_bytes() const { return depth_first ? row : element(); }
};

namespace isa_amx {
// Write tile_bytes(side, depth, is_f32), aligned to 64.
void fill_left_tiles(const TileSource& from, void* to);
void fill_right_tiles(const TileSource& from, void* to);
}  // namespace isa_amx

}  // namespace outsize
