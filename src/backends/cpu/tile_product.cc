#include "backends/cpu/tile_product.h"

#include <algorithm>
#include <numeric>

#include "core/balance.h"
#include "core/clock.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "core/round_up.h"

namespace outsize {
namespace {

constexpr std::int64_t kMostTurnedBytes = std::int64_t{64} << 20;

// 1,024 x 512 elements of bf16, or 192 x 1,024 of f32, of b lie in a second-level cache of 2 MiB
// beside what passes through it.
constexpr std::int64_t kMostColumns = 512, kMostF32Columns = 1024, kLeastColumns = 64;
// Summed at one go: all there is, if it is no more than kWholeDepth; else less where b lies depth
// first, since memory gives wide strips of its rows faster.
constexpr std::int64_t kWholeDepth = 1024, kDepthFirstRun = 512;
// A panel of a, three parts of each element, stays in a first-level cache of 48 KiB.
constexpr std::int64_t kF32Run = 192;
// Of fewer rows or columns f32's own units are as fast.
constexpr std::int64_t kLeastF32Side = 16;
// Results that come out turned over cost a seventh of a product; packing less has to save that.
constexpr std::int64_t kLeastRatio = 8;
// Elements of a result that are turned over in the time of one of an operand.
constexpr std::int64_t kTurnedResults = 4;
constexpr std::int64_t kMostRows = 2048, kLeastRows = 128;
// What a strip costs besides its products, as so many rows and columns of them: b is packed for
// every strip of rows, a comes from memory for every strip of columns.
constexpr std::int64_t kRowsToPack = 96, kColumnsToRead = 32;
// Lines this far apart share a place in a first-level cache.
constexpr std::int64_t kAliasBytes = 4096;
constexpr std::int64_t kLine = 64;

// Whether rows that begin `row` bytes apart, of which `run` are used at one go, fill all places of
// a first-level cache alike.
bool spreads(std::int64_t row, std::int64_t run) {
  return std::gcd(row, kAliasBytes) <= run;
}

std::int64_t divide_up(std::int64_t x, std::int64_t by) {
  return (x + by - 1) / by;
}

// The least multiple of `step` that splits `size` into so many parts or fewer.
std::int64_t even_part(std::int64_t size, std::int64_t parts, std::int64_t step) {
  return round_up(divide_up(size, parts), step);
}

std::int64_t depth_run(std::int64_t depth, bool depth_first, bool is_f32) {
  const std::int64_t most = is_f32                               ? kF32Run
                            : depth > kWholeDepth && depth_first ? kDepthFirstRun
                                                                 : kWholeDepth;
  return even_part(depth, divide_up(depth, most), kTileStep);
}

// A whole operand, whose rows follow each other without gaps.
TileSource describe(const void* data, std::int64_t side, std::int64_t depth, bool depth_first,
                    bool is_f32) {
  TileSource source{static_cast<const char*>(data), 0, side, depth, depth_first, is_f32};
  source.row = (depth_first ? side : depth) * source.element();
  return source;
}

bool goes_past_caches(const MatmulSpec& spec, const void* c) {
  return spec.past_caches && !spec.accumulate && spec.result == DType::f32 &&
         reinterpret_cast<std::uintptr_t>(c) % kLine == 0 &&
         spec.n * size_of(DType::f32) % kLine == 0;
}

// Of two operands that lie depth first one is turned over as a whole; pairing the other's rows is
// less work, and done where they are used. That is the smaller one, unless results that come out
// turned over cost more than it saves. Of two that do not, the larger one is read where it lies,
// fetched beside the products; only the smaller one is packed.
bool swaps(const MatmulSpec& spec) {
  if (spec.operand == DType::f32) return false;
  if (spec.transpose_a)
    return !spec.transpose_b && kTurnedResults * (spec.m - spec.n) * spec.k > spec.m * spec.n;
  return spec.transpose_b && kLeastRatio * spec.m <= spec.n;
}

}  // namespace

bool TileProduct::runs(const MatmulSpec& spec) {
  if (active_isa() != Isa::amx) return false;
  if (spec.operand == DType::f32) return std::min(spec.m, spec.n) >= kLeastF32Side;
  return spec.operand == DType::bf16 &&
         (!spec.transpose_a || TileProduct(spec).turned_bytes() <= kMostTurnedBytes);
}

TileProduct::TileProduct(const MatmulSpec& spec)
    : spec_(spec),
      swapped_(swaps(spec)),
      left_is_turned_(!is_f32() && spec.transpose_a),
      rows_(swapped_ ? spec.n : spec.m),
      columns_(swapped_ ? spec.m : spec.n),
      depth_each_(depth_run(spec.k, swapped_ ? spec.transpose_a : !spec.transpose_b, is_f32())) {
  choose_strip();
  strips_each_ = divide_up(strips(), thread_count());
  scratch_each_ =
      isa_amx::strip_scratch_bytes(strip_rows_, strip_columns_, spec_.k, depth_each_, is_f32());
}

// The strip with which the thread that has most to do has least.
void TileProduct::choose_strip() {
  std::int64_t least = 0;
  for (std::int64_t rows = std::min(kMostRows, round_up(rows_, kTileSquare));;
       rows = round_up(rows / 2, kTileSquare)) {
    for (std::int64_t columns = is_f32() ? kMostF32Columns : kMostColumns; columns >= kLeastColumns;
         columns -= kTileSquare) {
      const std::int64_t strips = divide_up(rows_, rows) * divide_up(columns_, columns);
      const std::int64_t cost = divide_up(strips, thread_count()) * (rows + kRowsToPack) *
                                (std::min(columns, columns_) + kColumnsToRead);
      if (least != 0 && cost >= least) continue;
      least = cost;
      strip_rows_ = rows;
      strip_columns_ = columns;
    }
    if (rows <= kLeastRows) break;
  }
}

std::int64_t TileProduct::strips() const {
  return strips_down() * divide_up(columns_, strip_columns_);
}

std::int64_t TileProduct::shares() const {
  return divide_up(strips(), strips_each_);
}

std::int64_t TileProduct::turned_bytes() const {
  return left_is_turned_ ? tile_bytes(rows_, spec_.k, false) : 0;
}

TileLeft TileProduct::left_way(const TileSource& left) const {
  if (left_is_turned_) return TileLeft::in_tiles;
  const bool is_loadable = !is_f32() && spreads(left.row, depth_each_ * left.element());
  return is_loadable ? TileLeft::in_place : TileLeft::copied;
}

void TileProduct::turn_left(const TileSource& left, void* to) const noexcept {
  const std::int64_t panels = tile_panels(rows_);
  parallel_for(
      panels, divide_up(panels, thread_count()), [&](std::int64_t begin, std::int64_t end) {
        const std::int64_t row = begin * kTileSquare;
        TileSource some = left;
        some.data += row * left.side_bytes();
        some.side = std::min(end * kTileSquare, rows_) - row;
        isa_amx::fill_left_tiles(some, static_cast<char*>(to) + tile_bytes(row, spec_.k, false));
      });
}

struct TileProduct::Operands {
  TileSource left, right;
  const char* turned;  // left, if left_is_turned_
  const float* bias;
  char* c;
  bool past_caches;
};

TileProduct::Area TileProduct::strip_area(std::int64_t strip) const {
  Area area{strip % strips_down() * strip_rows_, strip / strips_down() * strip_columns_};
  area.rows = std::min(strip_rows_, rows_ - area.row);
  area.columns = std::min(strip_columns_, columns_ - area.column);
  return area;
}

// Parts of a strip that is cut between columns both read a; between rows, both pack b.
bool TileProduct::cuts_columns() const {
  return strip_rows_ * kColumnsToRead <= strip_columns_ * kRowsToPack;
}

// Nothing of a strip that would be less than is worth its trouble.
TileProduct::Place TileProduct::place_after(double share) const {
  double left = share * static_cast<double>(rows_ * columns_);
  for (std::int64_t strip = 0; strip < strips(); ++strip) {
    const Area area = strip_area(strip);
    const auto size = static_cast<double>(area.size());
    if (left >= size) {
      left -= size;
      continue;
    }
    const std::int64_t side = cuts_columns() ? area.columns : area.rows;
    const std::int64_t least = cuts_columns() ? kLeastColumns : kLeastRows;
    const auto exact = static_cast<std::int64_t>(left / size * static_cast<double>(side));
    const std::int64_t offset = (exact + kTileSquare / 2) / kTileSquare * kTileSquare;
    if (offset >= least && side - offset >= least) return {strip, offset};
    return {2 * exact < side ? strip : strip + 1, 0};
  }
  return {strips(), 0};
}

template <class Body>
void TileProduct::for_each_area(Place begin, Place end, Body&& body) const {
  for (std::int64_t strip = begin.strip; strip <= end.strip; ++strip) {
    if (strip == end.strip && end.offset == 0) break;
    Area area = strip_area(strip);
    std::int64_t& side = cuts_columns() ? area.columns : area.rows;
    if (strip == end.strip) side = end.offset;
    if (strip == begin.strip && begin.offset > 0) {
      (cuts_columns() ? area.column : area.row) += begin.offset;
      side -= begin.offset;
    }
    if (side > 0) body(area);
  }
}

void TileProduct::multiply(const Operands& operands, const Area& area,
                           char* scratch) const noexcept {
  const std::int64_t first = swapped_ ? area.row : area.column;
  TileStrip strip{
      .a = operands.left,
      .left = left_way(operands.left),
      .left_tiles =
          left_is_turned_ ? operands.turned + tile_bytes(area.row, spec_.k, false) : nullptr,
      .b = operands.right,
      .bias = operands.bias ? operands.bias + first : nullptr,
      .c_stride = spec_.n,
      .c_is_bf16 = spec_.result == DType::bf16,
      .c_is_turned = swapped_,
      .accumulates = spec_.accumulate,
      .past_caches = operands.past_caches,
      .depth_each = depth_each_,
      .scratch = scratch,
  };
  strip.a.data += area.row * operands.left.side_bytes();
  strip.a.side = area.rows;
  strip.b.data += area.column * operands.right.side_bytes();
  strip.b.side = area.columns;
  const std::int64_t offset =
      swapped_ ? area.column * spec_.n + area.row : area.row * spec_.n + area.column;
  strip.c = operands.c + offset * size_of(spec_.result);
  isa_amx::multiply_strip(strip);
}

void TileProduct::run(const void* a, const void* b, const float* bias, void* c,
                      void* workspace) const noexcept {
  Operands operands{
      .left = describe(a, spec_.m, spec_.k, spec_.transpose_a, is_f32()),
      .right = describe(b, spec_.n, spec_.k, !spec_.transpose_b, is_f32()),
      .turned = static_cast<const char*>(workspace),
      .bias = bias,
      .c = static_cast<char*>(c),
      .past_caches = goes_past_caches(spec_, c),
  };
  if (swapped_) std::swap(operands.left, operands.right);
  if (left_is_turned_) turn_left(operands.left, workspace);
  char* scratch = static_cast<char*>(workspace) + turned_bytes();
  Balance& balance = team_balance();
  if (balance.threads() != shares()) {  // a strip for some of them, or one thread for all
    parallel_for(strips(), strips_each_, [&](std::int64_t begin, std::int64_t end) {
      for_each_area({begin, 0}, {end, 0}, [&](const Area& area) {
        multiply(operands, area, scratch + begin / strips_each_ * scratch_each_);
      });
    });
    return;
  }
  parallel_for(shares(), 1, [&](std::int64_t thread, std::int64_t) {
    const double start = seconds_now();
    Balance::Done& done = balance.done()[static_cast<size_t>(thread)];
    done.work = 0;
    for_each_area(place_after(balance.before(thread)), place_after(balance.before(thread + 1)),
                  [&](const Area& area) {
                    multiply(operands, area, scratch + thread * scratch_each_);
                    done.work += static_cast<double>(area.size());
                  });
    done.seconds = seconds_now() - start;
  });
  balance.learn();
}

}  // namespace outsize
