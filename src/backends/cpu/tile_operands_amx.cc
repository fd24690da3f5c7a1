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
OUTSIZE_INLINE f32x16 pair_words(const char* even, __mmask16 of_even, const char* odd,
                                 __mmask16 of_odd) {
  const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(of_even, even));
  const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(of_odd, odd));
  return words(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

// Sixteen lines of a tile of bf16 as they lie in the matrix: pairs of rows where the depth comes
// first, else rows.
template <bool kDepthFirst>
OUTSIZE_INLINE void load_lines(const TileSource& from, int64_t side, int64_t depth,
                               f32x16 (&lines)[kTileSide]) {
  const int64_t sides = from.side - side, depths = from.depth - depth;
  const char* row = from.data + side * from.side_bytes() + depth * from.depth_bytes();
  if constexpr (kDepthFirst) {
    const __mmask16 lanes = first_16(sides);
    for (int64_t i = 0; i < kTileSide; ++i, row += 2 * from.row)
      lines[i] = pair_words(row, 2 * i < depths ? lanes : 0, row + from.row,
                            2 * i + 1 < depths ? lanes : 0);
  } else {
    const __mmask32 lanes = first_32(depths);
    for (int64_t i = 0; i < kTileSide; ++i, row += from.row)
      lines[i] = words(_mm512_maskz_loadu_epi16(i < sides ? lanes : 0, row));
  }
}

// Sixteen lines of a step of f32, in two vectors each: what comes first in its pair, and second.
template <bool kDepthFirst>
OUTSIZE_INLINE void load_line_pairs(const TileSource& from, int64_t side, int64_t depth,
                                    __m512 (&first)[kTileSide], __m512 (&second)[kTileSide]) {
  const int64_t sides = from.side - side, depths = from.depth - depth;
  const char* row = from.data + side * from.side_bytes() + depth * from.depth_bytes();
  const int64_t to_second = kTileSide * from.depth_bytes();
  for (int64_t i = 0; i < kTileSide; ++i, row += from.row) {
    const bool is_there = i < sides;
    const __mmask16 of_first =
        kDepthFirst ? first_16(i < depths ? sides : 0) : first_16(is_there ? depths : 0);
    const __mmask16 of_second = kDepthFirst ? first_16(i + kTileSide < depths ? sides : 0)
                                            : first_16(is_there ? depths - kTileSide : 0);
    first[i] = _mm512_maskz_loadu_ps(of_first, row);
    second[i] = _mm512_maskz_loadu_ps(of_second, row + to_second);
  }
}

// The bf16 next to x, halves away from zero, as f32; x becomes what is left, exactly.
OUTSIZE_INLINE __m512 take_part(__m512& x, bool rounds) {
  __m512i bits = _mm512_castps_si512(x);
  if (rounds) bits = _mm512_add_epi32(bits, _mm512_set1_epi32(0x8000));
  const __m512 part =
      _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  x = _mm512_sub_ps(x, part);
  return part;
}

// Rows [begin, end) of the matrix from row `first` on, each from front to back: so memory gives
// them fastest.
OUTSIZE_INLINE void fetch_rows(const TileSource& from, int64_t first, int64_t begin, int64_t end) {
  const int64_t rows = from.depth_first ? from.depth : from.side;
  const int64_t bytes = (from.depth_first ? from.side : from.depth) * from.element();
  for (int64_t row = first + begin; row < first + end && row < rows; ++row) {
    const char* data = from.data + row * from.row;
    for (int64_t i = 0; i < bytes; i += kTileBytes) _mm_prefetch(data + i, _MM_HINT_T1);
  }
}

template <bool kTurned>
OUTSIZE_INLINE void store_tile(f32x16 (&lines)[kTileSide], char* to) {
  if constexpr (kTurned) transpose(lines);
  for (int64_t i = 0; i < kTileSide; ++i) _mm512_store_ps(to + i * kTileBytes, lines[i].part[0]);
}

template <bool kDepthFirst, bool kTurned>
OUTSIZE_INLINE void fill_bf16_tile(const TileSource& from, int64_t side, int64_t depth, char* to) {
  f32x16 lines[kTileSide];
  load_lines<kDepthFirst>(from, side, depth, lines);
  store_tile<kTurned>(lines, to);
}

// One tile of each part.
template <bool kDepthFirst, bool kTurned>
OUTSIZE_INLINE void fill_f32_tiles(const TileSource& from, int64_t side, int64_t depth, char* to) {
  __m512 first[kTileSide], second[kTileSide];
  load_line_pairs<kDepthFirst>(from, side, depth, first, second);
  for (int64_t part = 0; part < kF32Parts; ++part, to += kTileStepBytes) {
    const bool rounds = part + 1 < kF32Parts;
    f32x16 lines[kTileSide];
    for (int64_t i = 0; i < kTileSide; ++i) {
      const __m512i low = _mm512_castps_si512(take_part(first[i], rounds));
      const __m512i high = _mm512_castps_si512(take_part(second[i], rounds));
      lines[i] = words(_mm512_or_si512(_mm512_srli_epi32(low, 16), high));
    }
    store_tile<kTurned>(lines, to);
  }
}

template <bool kDepthFirst, bool kTurned>
OUTSIZE_INLINE void fill_step(const TileSource& from, int64_t panel, int64_t step, char* to) {
  to += (panel * tile_steps(from.depth) + step) * tile_step_bytes(from.is_f32);
  for (int64_t half = 0; half < 2; ++half, to += kTileStepBytes / 2) {
    const int64_t side = panel * kTileSquare + half * kTileSide, depth = step * kTileStep;
    from.is_f32 ? fill_f32_tiles<kDepthFirst, kTurned>(from, side, depth, to)
                : fill_bf16_tile<kDepthFirst, kTurned>(from, side, depth, to);
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
