#include "backends/cpu/tile_strip.h"

#include "core/simd_transpose.h"
#include "core/tile_registers.h"

namespace outsize::OUTSIZE_ISA {
namespace {

constexpr int64_t kSquareWords = kTileSquare * kTileSquare;
constexpr int64_t kHalfStep = kTileStepBytes / 2;
constexpr int64_t kTurnRows = 8;  // of a square, in which one tile of it is turned over

OUTSIZE_INLINE int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

// With a null base it only counts.
struct Scratch {
  float* results[2];  // of squares, [32][32], in turn
  char* left;         // one panel of a, where it does not lie well
  char* right;        // of b, all columns and so much depth as is summed at one go
  float* parts;       // of every square, where the depth is summed in several runs
  int64_t bytes = 0;

  Scratch(int64_t rows, int64_t columns, int64_t depth, int64_t depth_each, bool is_f32,
          void* base) {
    const int64_t run = smaller(depth, depth_each);
    const int64_t squares = tile_panels(rows) * tile_panels(columns);
    for (float*& result : results) result = reinterpret_cast<float*>(take(kSquareWords * 4, base));
    left = take(tile_bytes(kTileSquare, run, is_f32), base);
    right = take(tile_bytes(columns, run, is_f32), base);
    parts = reinterpret_cast<float*>(take(depth > run ? squares * kSquareWords * 4 : 0, base));
  }

 private:
  char* take(int64_t count, void* base) {
    char* piece = base ? static_cast<char*>(base) + bytes : nullptr;
    bytes += count;
    return piece;
  }
};

// The sums of a square, on their way to where they belong. They get there beside the products of
// the next square, a few rows at a time: at once, they would wait until the registers are written.
struct Pending {
  enum { nothing, add_to_parts, finish, finish_turned } kind = nothing;
  const float* sums;
  float* parts;  // of steps before, or nullptr
  void* c;
  const float* bias;
  int64_t rows, columns;
};

// A panel of a: the 32 elements of row r in step s begin at data + row·r + step·s.
struct Panel {
  const char* data;
  int64_t row, step;  // bytes
};

class Strip {
 public:
  explicit Strip(const TileStrip& strip)
      : strip_(strip),
        rows_(strip.a.side),
        columns_(strip.b.side),
        depth_(strip.b.depth),
        scratch_(rows_, columns_, depth_, strip.depth_each, is_f32_, strip.scratch) {}

  void run() {
    for (int64_t from = 0; from < depth_; from += strip_.depth_each) {
      depth_run_ = smaller(strip_.depth_each, depth_ - from);
      fill_right_tiles(right(from), scratch_.right);
      for (int64_t row = 0; row < rows_; row += kTileSquare) multiply_panel(row, from);
    }
    finish_rows(0, kTileSquare);
  }

 private:
  TileSource right(int64_t from) const {
    TileSource b = strip_.b;
    b.data += from * b.depth_bytes();
    b.depth = depth_run_;
    return b;
  }

  // One panel of a, all columns.
  void multiply_panel(int64_t row, int64_t from) {
    const Panel a = panel_to_load(row, from);
    const int64_t squares = tile_panels(columns_);
    const int64_t next = smaller(row + kTileSquare, (rows_ - 1) / kTileSquare * kTileSquare);
    for (int64_t i = 0; i < squares; ++i) {
      ahead_ = ahead(panel_in_memory(next, from), i * kTileSquare / squares,
                     (i + 1) * kTileSquare / squares);
      multiply_square(a, row, i, from);
    }
  }

  // As the operand or the tiles of all of it lie.
  Panel panel_in_memory(int64_t row, int64_t from) const {
    const TileSource& a = strip_.a;
    if (strip_.left == TileLeft::in_tiles) {
      const int64_t step = tile_step_bytes(is_f32_);
      const int64_t panel = row / kTileSquare * tile_steps(depth_);
      return {strip_.left_tiles + (panel + from / kTileStep) * step, kTileBytes, step};
    }
    return {a.data + row * a.side_bytes() + from * a.depth_bytes(), a.row,
            a.depth_first ? kTileStep * a.row : kTileStep * a.element()};
  }

  // Copied and filled up with zeros where it cannot be loaded as it lies.
  Panel panel_to_load(int64_t row, int64_t from) {
    const Panel panel = panel_in_memory(row, from);
    const int64_t rows = smaller(kTileSquare, rows_ - row);
    const bool whole = rows == kTileSquare && depth_run_ % kTileStep == 0;
    if (strip_.left == TileLeft::in_tiles || (strip_.left == TileLeft::in_place && whole))
      return panel;
    fill_left_tiles({panel.data, panel.row, rows, depth_run_, strip_.a.depth_first, is_f32_},
                    scratch_.left);
    return {scratch_.left, kTileBytes, tile_step_bytes(is_f32_)};
  }

  void multiply_square(const Panel& a, int64_t row, int64_t square, int64_t from) {
    const int64_t column = square * kTileSquare, steps = tile_steps(depth_run_);
    float* parts =
        scratch_.parts + (row / kTileSquare * tile_panels(columns_) + square) * kSquareWords;
    const bool first = from == 0, last = from + strip_.depth_each >= depth_;
    turn_ = !turn_;
    float* sums = first && !last ? parts : scratch_.results[turn_];
    const int64_t offset =
        strip_.c_is_turned ? column * strip_.c_stride + row : row * strip_.c_stride + column;
    char* c = static_cast<char*>(strip_.c) + offset * (strip_.c_is_bf16 ? 2 : 4);
    multiply_steps(a, scratch_.right + square * steps * tile_step_bytes(is_f32_), steps, sums,
                   last && fetches_result() ? c : nullptr);
    pending_.kind = !last                ? (first ? Pending::nothing : Pending::add_to_parts)
                    : strip_.c_is_turned ? Pending::finish_turned
                                         : Pending::finish;
    pending_.sums = sums;
    pending_.parts = first ? nullptr : parts;
    pending_.c = c;
    pending_.bias = strip_.bias ? strip_.bias + (strip_.c_is_turned ? row : column) : nullptr;
    pending_.rows = smaller(kTileSquare, rows_ - row);
    pending_.columns = smaller(kTileSquare, columns_ - column);
  }

  // The sums of a square; c: where they will be written next, if they will.
  [[gnu::always_inline]] void multiply_steps(const Panel& a, const char* b, int64_t steps,
                                             float* sums, const char* c) {
    const int64_t rows_each = (kTileSquare + steps - 1) / steps;
    write_now();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t s = 0; s < steps; ++s) {
      is_f32_ ? multiply_f32_step(a.data + s * a.step, b + s * tile_step_bytes(true))
              : multiply_step(a.data + s * a.step, a.row, b + s * kTileStepBytes);
      const int64_t row = s * rows_each, row_end = smaller(kTileSquare, row + rows_each);
      finish_rows(row, row_end);
      fetch_ahead(s);
      if (c) fetch_result(c, row, row_end);
    }
    constexpr int64_t kRow = kTileSquare * 4;
    _tile_stored(0, sums, kRow);
    _tile_stored(1, sums + kTileSide, kRow);
    _tile_stored(2, sums + kTileSide * kTileSquare, kRow);
    _tile_stored(3, sums + kTileSide * kTileSquare + kTileSide, kRow);
    write_now();
  }

  [[gnu::always_inline]] static void multiply_step(const char* a, int64_t row, const char* b) {
    _tile_stream_loadd(6, b, kTileBytes);
    _tile_loadd(4, a, row);
    _tile_dpbf16ps(0, 4, 6);
    _tile_stream_loadd(7, b + kHalfStep, kTileBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + kTileSide * row, row);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }

  // Every two parts whose product counts in f32, in an order that seldom loads.
  [[gnu::always_inline]] static void multiply_f32_step(const char* a, const char* b) {
    load_left(a + kTileStepBytes);
    load_right(b + kTileStepBytes);
    multiply_loaded();
    load_right(b);
    multiply_loaded();
    load_left(a + 2 * kTileStepBytes);
    multiply_loaded();
    load_left(a);
    multiply_loaded();
    load_right(b + kTileStepBytes);
    multiply_loaded();
    load_right(b + 2 * kTileStepBytes);
    multiply_loaded();
  }
  [[gnu::always_inline]] static void load_left(const char* a) {
    _tile_loadd(4, a, kTileBytes);
    _tile_loadd(5, a + kHalfStep, kTileBytes);
  }
  [[gnu::always_inline]] static void load_right(const char* b) {
    _tile_stream_loadd(6, b, kTileBytes);
    _tile_stream_loadd(7, b + kHalfStep, kTileBytes);
  }
  [[gnu::always_inline]] static void multiply_loaded() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }

  // Lines of a panel to fetch at every step: of so many at step s, the first at data + step·s.
  struct Ahead {
    const char* data;
    int64_t step, next;  // bytes
    int64_t count;
  };

  // Rows [begin, end). Memory gives what lies side by side from front to back fastest.
  Ahead ahead(const Panel& panel, int64_t begin, int64_t end) const {
    const int64_t count = end - begin;
    const char* data = panel.data + begin * panel.row;
    if (panel.step == kTileBytes && panel.row == tile_steps(depth_run_) * kTileBytes)
      return {data, count * kTileBytes, kTileBytes, count};
    return {data, panel.step, panel.row, count};
  }

  // Towards the second-level cache.
  [[gnu::always_inline]] void fetch_ahead(int64_t step) const {
    for (int64_t i = 0; i < ahead_.count; ++i) {
      const char* line = ahead_.data + step * ahead_.step + i * ahead_.next;
      _mm_prefetch(line, _MM_HINT_T1);
      if (is_f32_) _mm_prefetch(line + kTileBytes, _MM_HINT_T1);
    }
  }

  // Of bf16 there are half as many lines, and waiting for them costs nothing where they are whole.
  bool fetches_result() const {
    return !strip_.past_caches && (!strip_.c_is_bf16 || strip_.c_is_turned);
  }

  // Lines of c that this square will be written to, for writing: a thread waits for them one after
  // the other.
  [[gnu::always_inline]] void fetch_result(const char* c, int64_t row, int64_t end) const {
    for (; row < end; ++row) {
      __builtin_prefetch(c + row * c_row_, 1, 3);
      if (!strip_.c_is_bf16) __builtin_prefetch(c + row * c_row_ + kTileBytes, 1, 3);
    }
  }

  [[gnu::always_inline]] void finish_rows(int64_t begin, int64_t end) const {
    const Pending p = pending_;
    switch (p.kind) {
      case Pending::nothing:
        return;
      case Pending::add_to_parts:
        for (int64_t i = begin * kTileSquare; i < end * kTileSquare; i += kLanes)
          store(p.parts + i, load(p.parts + i) + load(p.sums + i));
        return;
      case Pending::finish:
        for (int64_t r = begin; r < smaller(end, p.rows); ++r)
          strip_.c_is_bf16 ? finish_row<uint16_t>(p, r) : finish_row<float>(p, r);
        return;
      case Pending::finish_turned:
        for (int64_t r = (begin + kTurnRows - 1) / kTurnRows * kTurnRows; r < end; r += kTurnRows)
          strip_.c_is_bf16 ? finish_turned_tile<uint16_t>(p, r / kTurnRows)
                           : finish_turned_tile<float>(p, r / kTurnRows);
        return;
    }
  }

  template <class T>
  [[gnu::always_inline]] void finish_row(const Pending& p, int64_t r) const {
    T* c = static_cast<T*>(p.c) + r * strip_.c_stride;
    const Target<T> to{c, strip_.past_caches};
    each_vector(0, p.columns, [&](int64_t i, auto lanes) {
      f32x16 sum = load(p.sums + r * kTileSquare + i);
      if (p.parts) sum += load(p.parts + r * kTileSquare + i);
      if (p.bias) sum += load(p.bias + i, lanes);
      if (strip_.accumulates) sum += load(c + i, lanes);
      store(to, i, sum, lanes);
    });
  }

  // Tile `number` of four: its columns become rows of c.
  template <class T>
  void finish_turned_tile(const Pending& p, int64_t number) const {
    const int64_t row = number / 2 * kTileSide, column = number % 2 * kTileSide;
    f32x16 lines[kTileSide];
    for (int64_t i = 0; i < kTileSide; ++i) {
      const int64_t at = (row + i) * kTileSquare + column;
      lines[i] = load(p.sums + at);
      if (p.parts) lines[i] += load(p.parts + at);
    }
    transpose(lines);
    const int64_t columns = smaller(kTileSide, p.columns - column);
    const auto words = static_cast<int>(smaller(kTileSide, p.rows - row));
    if (words <= 0) return;
    for (int64_t i = 0; i < columns; ++i) {
      T* c = static_cast<T*>(p.c) + (column + i) * strip_.c_stride + row;
      if (p.bias) lines[i] += load_n(p.bias + row, words);
      if (strip_.accumulates) lines[i] += load_n(c, words);
      words == kTileSide ? store(Target<T>{c, strip_.past_caches}, 0, lines[i], AllLanes{})
                         : store_n(c, lines[i], words);
    }
  }

  const TileStrip& strip_;
  const bool is_f32_ = strip_.a.is_f32;
  const int64_t rows_, columns_, depth_;
  const int64_t c_row_ = strip_.c_stride * (strip_.c_is_bf16 ? 2 : 4);  // bytes
  Scratch scratch_;
  int64_t depth_run_ = 0;
  bool turn_ = false;
  Pending pending_;
  Ahead ahead_;
};

}  // namespace

int64_t strip_scratch_bytes(int64_t rows, int64_t columns, int64_t depth, int64_t depth_each,
                            bool is_f32) {
  return Scratch(rows, columns, depth, depth_each, is_f32, nullptr).bytes;
}

void multiply_strip(const TileStrip& strip) {
  const TileRegisters registers;
  Strip(strip).run();
}

}  // namespace outsize::OUTSIZE_ISA
