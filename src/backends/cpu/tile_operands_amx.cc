#include "backends/cpu/tile_operands.h"

#include "core/simd_transpose.h"
#include "core/tile_registers.h"

namespace outsize::OUTSIZE_ISA {
namespace {

// The first n of 16 or of 32 lanes; n may lie beyond either end.
OUTSIZE_INLINE __mmask16 first_16(int64_t n) {
  return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1u);
}
OUTSIZE_INLINE __mmask32 first_32(int64_t n) {
  return n >= 32 ? 0xffffffff : n <= 0 ? 0 : (1u << n) - 1u;
}

OUTSIZE_INLINE f32x16 words(__m512i bits) {
  f32x16 r;
  r.part[0] = _mm512_castsi512_ps(bits);
  return r;
}

// Words of the first n (≤ 16) elements of two rows, those of `even` in the low halves.
OUTSIZE_INLINE f32x16 pair_words(const uint16_t* even, __mmask16 of_even, const uint16_t* odd,
                                 __mmask16 of_odd) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(of_even, even));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(of_odd, odd));
  return words(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

// Sixteen lines of a tile as they lie in the matrix: pairs of rows where the depth comes first,
// else rows.
template <bool kDepthFirst>
OUTSIZE_INLINE void load_lines(const TileSource& from, int64_t side, int64_t depth,
                               f32x16 (&lines)[kTileSide]) {
  const int64_t sides = from.side - side, depths = from.depth - depth;
  if constexpr (kDepthFirst) {
    const uint16_t* row = from.data + depth * from.stride + side;
    const __mmask16 lanes = first_16(sides);
    for (int64_t i = 0; i < kTileSide; ++i, row += 2 * from.stride)
      lines[i] = pair_words(row, 2 * i < depths ? lanes : 0, row + from.stride,
                            2 * i + 1 < depths ? lanes : 0);
  } else {
    const uint16_t* row = from.data + side * from.stride + depth;
    const __mmask32 lanes = first_32(depths);
    for (int64_t i = 0; i < kTileSide; ++i, row += from.stride)
      lines[i] = words(_mm512_maskz_loadu_epi16(i < sides ? lanes : 0, row));
  }
}

// Rows [begin, end) of the matrix from row `first` on, each from front to back: so memory gives
// them fastest.
OUTSIZE_INLINE void fetch_rows(const TileSource& from, int64_t first, int64_t begin, int64_t end) {
  const int64_t rows = from.depth_first ? from.depth : from.side;
  const int64_t bytes = (from.depth_first ? from.side : from.depth) * 2;
  for (int64_t row = first + begin; row < first + end && row < rows; ++row) {
    const auto* data = reinterpret_cast<const char*>(from.data + row * from.stride);
    for (int64_t i = 0; i < bytes; i += kTileBytes) _mm_prefetch(data + i, _MM_HINT_T1);
  }
}

template <bool kDepthFirst, bool kTurned>
OUTSIZE_INLINE void fill_step(const TileSource& from, int64_t panel, int64_t step, char* to) {
  to += (panel * tile_steps(from.depth) + step) * kTileStepBytes;
  for (int64_t half = 0; half < 2; ++half) {
    f32x16 lines[kTileSide];
    load_lines<kDepthFirst>(from, panel * kTileSquare + half * kTileSide, step * kTileStep, lines);
    if constexpr (kTurned) transpose(lines);
    for (int64_t i = 0; i < kTileSide; ++i, to += kTileBytes) _mm512_store_ps(to, lines[i].part[0]);
  }
}

// 32 rows of the matrix after the other, fetching the next.
template <bool kDepthFirst, bool kTurned>
void fill_tiles(const TileSource& from, char* to) {
  const int64_t panels = tile_panels(from.side), steps = tile_steps(from.depth);
  const int64_t outer = kDepthFirst ? steps : panels, inner = kDepthFirst ? panels : steps;
  for (int64_t i = 0; i < outer; ++i)
    for (int64_t j = 0; j < inner; ++j) {
      fetch_rows(from, (i + 1) * kTileStep, j * kTileStep / inner, (j + 1) * kTileStep / inner);
      fill_step<kDepthFirst, kTurned>(from, kDepthFirst ? j : i, kDepthFirst ? i : j, to);
    }
}

}  // namespace

void fill_left_tiles(const TileSource& from, void* to) {
  auto* tiles = static_cast<char*>(to);
  from.depth_first ? fill_tiles<true, true>(from, tiles) : fill_tiles<false, false>(from, tiles);
}

void fill_right_tiles(const TileSource& from, void* to) {
  auto* tiles = static_cast<char*>(to);
  from.depth_first ? fill_tiles<true, false>(from, tiles) : fill_tiles<false, true>(from, tiles);
}

}  // namespace outsize::OUTSIZE_ISA
