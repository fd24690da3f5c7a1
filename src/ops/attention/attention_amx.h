// The product of attention_tile.h on AMX: tile registers of 16 rows of 16 words, and one
// instruction that multiplies two of them (bf16 pairs, products exact, summed in f32). Only for
// *_simd.cc sources of attention, through attention_tile.h.
#pragma once

#include "core/tile_registers.h"

namespace outsize::OUTSIZE_ISA {

constexpr int64_t kTilePair = 2 * kTileSide;

// Words of one tile in memory, its rows `stride` bytes apart.
struct TileSource {
  const float* data;
  int64_t stride;
};

using TileWords = float[kTileSide * kTileSide];

// `rows` rows of `words` words, as they lie or, where they do not fill a tile, copied and filled up
// with zeros.
OUTSIZE_INLINE TileSource tile_source(const float* data, int64_t row, int64_t rows, int64_t words,
                                      TileWords& filled) {
  if (rows >= kTileSide && words >= kTileSide) return {data, row * 4};
  const int lanes = static_cast<int>(smaller(words, kTileSide));
  for (int64_t i = 0; i < kTileSide; ++i)
    store(filled + i * kTileSide, i < rows ? load_n(data + i * row, lanes) : zero());
  write_now();
  return {filled, kTileBytes};
}

// Registers 0 to 3 += A·B for up to 32 rows and 32 lanes, as [2][2] tiles.
template <bool kTwoRows, bool kTwoColumns>
OUTSIZE_INLINE void add_products(Rows a, Columns b, int64_t depth, int64_t rows) {
  alignas(64) TileWords filled[4];
  write_now();
  for (int64_t t = 0; t < depth; t += kTileSide) {
    const int64_t words = depth - t;
    const TileSource a0 = tile_source(a.data + t, a.row, rows, words, filled[0]);
    const float* lanes = b.data + t * b.step;
    const TileSource b0 = tile_source(lanes, b.step, words, kTileSide, filled[1]);
    _tile_loadd(4, a0.data, a0.stride);
    _tile_loadd(6, b0.data, b0.stride);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kTwoColumns) {
      const TileSource b1 = tile_source(lanes + kTileSide, b.step, words, kTileSide, filled[2]);
      _tile_loadd(7, b1.data, b1.stride);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kTwoRows) {
      const TileSource a1 =
          tile_source(a.data + kTileSide * a.row + t, a.row, rows - kTileSide, words, filled[3]);
      _tile_loadd(5, a1.data, a1.stride);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kTwoColumns) _tile_dpbf16ps(3, 5, 7);
    }
  }
}

// Registers 0 to 3 from and to rows `stride` words apart.
template <bool kTwoRows, bool kTwoColumns>
OUTSIZE_INLINE void load_sums(const float* from, int64_t stride) {
  write_now();
  _tile_loadd(0, from, stride * 4);
  if constexpr (kTwoColumns) _tile_loadd(1, from + kTileSide, stride * 4);
  if constexpr (kTwoRows) _tile_loadd(2, from + kTileSide * stride, stride * 4);
  if constexpr (kTwoRows && kTwoColumns)
    _tile_loadd(3, from + kTileSide * stride + kTileSide, stride * 4);
}
template <bool kTwoRows, bool kTwoColumns>
OUTSIZE_INLINE void store_sums(float* to, int64_t stride) {
  _tile_stored(0, to, stride * 4);
  if constexpr (kTwoColumns) _tile_stored(1, to + kTileSide, stride * 4);
  if constexpr (kTwoRows) _tile_stored(2, to + kTileSide * stride, stride * 4);
  if constexpr (kTwoRows && kTwoColumns)
    _tile_stored(3, to + kTileSide * stride + kTileSide, stride * 4);
}

// to[32][32] = A·B for up to 32 rows and 32 lanes; what lies beyond either is not to be read.
template <bool kTwoRows, bool kTwoColumns>
OUTSIZE_INLINE void multiply_tile_pair(Rows a, Columns b, int64_t depth, int64_t rows, float* to) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  add_products<kTwoRows, kTwoColumns>(a, b, depth, rows);
  store_sums<kTwoRows, kTwoColumns>(to, kTilePair);
}

// Products of up to 32 rows and 32 lanes on their way to `done`.
struct TilePair {
  alignas(64) float products[kTilePair * kTilePair];
  int64_t row, rows, vector;
};

template <int kVectors, class Done>
OUTSIZE_INLINE void finish_tile_pair(const TilePair& pair, Done done) {
  for (int64_t i = 0; i < pair.rows; i += kTileRows) {
    f32x16 acc[kTileRows][kVectors];
#pragma GCC unroll 4
    for (int row = 0; row < kTileRows; ++row)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        acc[row][v] = load(pair.products + (i + row) * kTilePair + v * kLanes);
    done(acc, pair.row + i, pair.vector);
  }
}

// Lane vectors [begin, end), kVectors at a time; `rows` is a multiple of kTileRows. A pair is
// finished beside the next one's products: its own are in memory only when the registers are done.
template <int kVectors, class Done>
OUTSIZE_INLINE void multiply_tile_panels(Rows a, Columns b, int64_t depth, int64_t rows,
                                         int64_t begin, int64_t end, Done done) {
  TilePair pairs[2];
  int turn = 0;
  bool pending = false;
  for (int64_t vector = begin; vector < end; vector += kVectors)
    for (int64_t row = 0; row < rows; row += kTilePair) {
      TilePair& pair = pairs[turn];
      pair.row = row;
      pair.rows = smaller(kTilePair, rows - row);
      pair.vector = vector;
      const Rows some{a.data + row * a.row, a.row, a.step};
      const Columns lanes{b.data + vector * kLanes, b.step};
      if (pair.rows > kTileSide)
        multiply_tile_pair<true, kVectors == 2>(some, lanes, depth, pair.rows, pair.products);
      else
        multiply_tile_pair<false, kVectors == 2>(some, lanes, depth, pair.rows, pair.products);
      turn = 1 - turn;
      if (pending) finish_tile_pair<kVectors>(pairs[turn], done);
      pending = true;
    }
  if (pending) finish_tile_pair<kVectors>(pairs[1 - turn], done);
}

// As `multiply`. Needs TileRegisters and a.step = 1.
template <class Done>
OUTSIZE_INLINE void multiply_tiles(Rows a, Columns b, int64_t depth, int64_t rows, int64_t begin,
                                   int64_t end, Done done) {
  rows = round_up(rows, kTileRows);
  const int64_t twos = begin + (end - begin) / 2 * 2;
  multiply_tile_panels<2>(a, b, depth, rows, begin, twos, done);
  if (twos < end) multiply_tile_panels<1>(a, b, depth, rows, twos, end, done);
}

// c[32][32] += A·B for up to 32 rows. Those that do not fill their registers go through a copy, so
// that nothing beyond them is touched: the same sums either way.
template <bool kTwoRows, bool kTwoColumns>
OUTSIZE_INLINE void add_tile_pair(Rows a, Columns b, int64_t depth, int64_t rows, float* c,
                                  int64_t stride) {
  if (rows == (kTwoRows ? kTilePair : kTileSide)) {
    load_sums<kTwoRows, kTwoColumns>(c, stride);
    add_products<kTwoRows, kTwoColumns>(a, b, depth, rows);
    return store_sums<kTwoRows, kTwoColumns>(c, stride);
  }
  constexpr int64_t kWidth = kTwoColumns ? kTilePair : kTileSide;
  alignas(64) float sums[kTilePair * kTilePair];
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < kWidth; j += kLanes)
      store(sums + i * kTilePair + j, load(c + i * stride + j));
  load_sums<kTwoRows, kTwoColumns>(sums, kTilePair);
  add_products<kTwoRows, kTwoColumns>(a, b, depth, rows);
  store_sums<kTwoRows, kTwoColumns>(sums, kTilePair);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < kWidth; j += kLanes)
      store(c + i * stride + j, load(sums + i * kTilePair + j));
}

template <bool kTwoColumns>
OUTSIZE_INLINE void add_tile_panel(Rows a, Columns b, int64_t depth, int64_t rows, float* c,
                                   int64_t stride) {
  for (int64_t row = 0; row < rows; row += kTilePair) {
    const int64_t count = smaller(kTilePair, rows - row);
    const Rows some{a.data + row * a.row, a.row, a.step};
    if (count > kTileSide)
      add_tile_pair<true, kTwoColumns>(some, b, depth, count, c + row * stride, stride);
    else
      add_tile_pair<false, kTwoColumns>(some, b, depth, count, c + row * stride, stride);
  }
}

// As `multiply_accumulate`. Needs TileRegisters and a.step = 1.
OUTSIZE_INLINE void multiply_accumulate_tiles(Rows a, Columns b, int64_t depth, int64_t rows,
                                              int64_t begin, int64_t end, float* c,
                                              int64_t stride) {
  rows = round_up(rows, kTileRows);
  int64_t vector = begin;
  for (; vector + 2 <= end; vector += 2)
    add_tile_panel<true>(a, {b.data + vector * kLanes, b.step}, depth, rows, c + vector * kLanes,
                         stride);
  if (vector < end)
    add_tile_panel<false>(a, {b.data + vector * kLanes, b.step}, depth, rows, c + vector * kLanes,
                          stride);
}

}  // namespace outsize::OUTSIZE_ISA
