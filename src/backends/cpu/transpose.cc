#include "backends/cpu/transpose.h"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

#include "backends/cpu/write_line.h"
#include "core/parallel.h"
#include "core/streaming.h"

namespace outsize {
namespace {

constexpr std::int64_t kSide = 8;           // of a tile in registers
constexpr std::int64_t kLineElements = 32;  // of a cache line
constexpr std::int64_t kTaskColumns = 128;  // memory gives whole runs of a row
constexpr std::int64_t kLineBytes = 64;

struct Matrices {
  const std::uint16_t* from;
  std::uint16_t* to;
  std::int64_t rows, columns;
  bool whole_lines;  // of the result, as its rows begin
  bool streams = streams_results();
};

// to[c][r] = from[r][c] of a tile; rows of either lie a line apart.
void turn_tile(const std::uint16_t* from, std::uint16_t* to) {
  __m128i a[kSide], b[kSide];
  for (int i = 0; i < kSide; ++i)
    a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * kLineElements));
  // Interleaving row i with row i + 4 three times turns eight rows over.
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = _mm_unpacklo_epi16(b[i], b[i + 4]);
    a[2 * i + 1] = _mm_unpackhi_epi16(b[i], b[i + 4]);
  }
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
  }
  for (int i = 0; i < kSide; ++i)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * kLineElements), b[i]);
}

void turn_elements(const Matrices& m, std::int64_t row, std::int64_t row_end, std::int64_t column,
                   std::int64_t column_end) {
  for (std::int64_t c = column; c < column_end; ++c)
    for (std::int64_t r = row; r < row_end; ++r) m.to[c * m.rows + r] = m.from[r * m.columns + c];
}

void write_run(const Matrices& m, const std::uint16_t* line, std::uint16_t* to) {
  if (m.whole_lines)
    write_line(line, to, m.streams);
  else
    std::memcpy(to, line, kLineBytes);
}

// A block of lines. Each is read once and written once: rows are often a multiple of 4 KiB long,
// and their lines would drive each other out of the first-level cache.
void turn_lines(const Matrices& m, std::int64_t row, std::int64_t column) {
  alignas(64) std::uint16_t from[kLineElements * kLineElements], to[kLineElements * kLineElements];
  for (std::int64_t r = 0; r < kLineElements; ++r)
    std::memcpy(from + r * kLineElements, m.from + (row + r) * m.columns + column, kLineBytes);
  for (std::int64_t c = 0; c < kLineElements; c += kSide)
    for (std::int64_t r = 0; r < kLineElements; r += kSide)
      turn_tile(from + r * kLineElements + c, to + c * kLineElements + r);
  for (std::int64_t c = 0; c < kLineElements; ++c)
    write_run(m, to + c * kLineElements, m.to + (column + c) * m.rows + row);
}

// Lines of the next rows, towards the second-level cache.
void prefetch_rows(const Matrices& m, std::int64_t row, std::int64_t column,
                   std::int64_t column_end) {
  for (std::int64_t r = row; r < std::min(row + kLineElements, m.rows); ++r)
    for (std::int64_t c = column; c < column_end; c += kLineElements)
      __builtin_prefetch(m.from + r * m.columns + c, 0, 2);
}

// Columns [begin, end), whole lines of them first.
void turn_columns(const Matrices& m, std::int64_t begin, std::int64_t end) {
  const std::int64_t whole_rows = m.rows / kLineElements * kLineElements;
  const std::int64_t whole_end = begin + (end - begin) / kLineElements * kLineElements;
  for (std::int64_t row = 0; row < whole_rows; row += kLineElements) {
    prefetch_rows(m, row + kLineElements, begin, whole_end);
    for (std::int64_t column = begin; column < whole_end; column += kLineElements)
      turn_lines(m, row, column);
  }
  turn_elements(m, whole_rows, m.rows, begin, whole_end);
  turn_elements(m, 0, m.rows, whole_end, end);
}

}  // namespace

void transpose_16_bit(const void* from, std::int64_t rows, std::int64_t columns, void* to) {
  const bool whole_lines =
      rows % kLineElements == 0 && reinterpret_cast<std::uintptr_t>(to) % kLineBytes == 0;
  const Matrices m{static_cast<const std::uint16_t*>(from), static_cast<std::uint16_t*>(to), rows,
                   columns, whole_lines};
  parallel_for(columns, kTaskColumns,
               [&](std::int64_t begin, std::int64_t end) { turn_columns(m, begin, end); });
}

}  // namespace outsize
