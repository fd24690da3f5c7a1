#include "costs/cost_model.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"

namespace outsize {
namespace {

// Where nothing was measured. Products of training reach about this share of the packed peak, and
// other ops about these shares of the f32 peak and of the copy rate on processors measured so far.
constexpr double kProductShare = 0.92;
constexpr double kVectorShare = 0.25;
constexpr double kCopyShare = 0.8;
// What products of few rows reach of the rate at which memory is read: they wait for their operands
// (docs/PERFORMANCE.md, "Decoding and prompts"), whatever was measured with more rows.
constexpr double kReadShare = 0.85;
constexpr double kCallSeconds = 5e-6;     // to wake the threads
constexpr double kBytesPerSecond = 10e9;  // a slow memory, where the file says nothing
constexpr double kMinSeconds = 1e-9;      // logarithms need more than nothing

double log_of(std::int64_t value) {
  return std::log(static_cast<double>(std::max<std::int64_t>(value, 1)));
}

// Position of x in an ascending axis: the cell, and how far into it, held inside the axis.
struct Place {
  size_t cell;
  double share;
};

Place locate(const std::vector<double>& axis, double x) {
  if (axis.size() == 1 || x <= axis.front()) return {0, 0.0};
  if (x >= axis.back()) return {axis.size() - 2, 1.0};
  const size_t above =
      static_cast<size_t>(std::upper_bound(axis.begin(), axis.end(), x) - axis.begin());
  return {above - 1, (x - axis[above - 1]) / (axis[above] - axis[above - 1])};
}

// Seconds at some work, or some bytes, straight between measured points. Below the first the time
// shrinks down to a call's own; above the last it grows in proportion.
double along(const std::vector<OpPoint>& points, double OpPoint::*axis, double x) {
  const OpPoint &first = points.front(), &last = points.back();
  if (x <= first.*axis) {
    const double fixed = std::min(kCallSeconds, first.seconds);
    return fixed + (first.seconds - fixed) * x / first.*axis;
  }
  if (x >= last.*axis) return last.seconds * x / last.*axis;
  const auto above = std::upper_bound(points.begin(), points.end(), x,
                                      [&](double x, const OpPoint& p) { return x < p.*axis; });
  const OpPoint &a = *(above - 1), &b = *above;
  return a.seconds + (b.seconds - a.seconds) * (x - a.*axis) / (b.*axis - a.*axis);
}

}  // namespace

GemmForm form_of(const Product& product) {
  if (product.transpose_a) return product.accumulate ? GemmForm::tn_add : GemmForm::tn;
  return product.transpose_b ? GemmForm::nt : GemmForm::nn;
}

CostModel::CostModel(const Machine& machine) {
  const auto per_second = [](const std::optional<Rate>& rate) {
    return rate ? rate->median * 1e9 : 0.0;
  };
  f32_flops_ = per_second(machine.cpu.gemm_f32_gflops);
  bf16_flops_ = per_second(machine.cpu.gemm_bf16_gflops);
  bytes_per_second_ = per_second(machine.ram.copy_gb_per_second);
  if (bytes_per_second_ <= 0) bytes_per_second_ = kBytesPerSecond;
  read_bytes_per_second_ = per_second(machine.ram.read_gb_per_second);
  if (read_bytes_per_second_ <= 0) read_bytes_per_second_ = bytes_per_second_;
  add_grids(machine.cpu.gemm_shapes);
  for (const OpRate& rate : machine.ops)
    curves_[rate.op + " " + rate.variant].push_back({log_of(rate.width), rate.points});
  for (const CallTime& time : machine.calls) calls_[time.call] = time.seconds;
  for (auto& [name, curves] : curves_)
    std::sort(curves.begin(), curves.end(),
              [](const Curve& a, const Curve& b) { return a.log_width < b.log_width; });
}

// Shapes of one form and dtype make a grid when every combination of their sides is there; a list
// with holes is left aside.
void CostModel::add_grids(const std::vector<GemmRate>& rates) {
  std::map<std::pair<DType, GemmForm>, std::map<std::array<std::int64_t, 3>, double>> found;
  for (const GemmRate& rate : rates)
    if (rate.form != GemmForm::packed)
      found[{rate.dtype, rate.form}][{rate.shape.m, rate.shape.k, rate.shape.n}] =
          rate.gflops.median;
  for (const auto& [key, points] : found) {
    std::array<std::set<std::int64_t>, 3> sides;
    for (const auto& [shape, gflops] : points)
      for (size_t i = 0; i < 3; ++i) sides[i].insert(shape[i]);
    if (points.size() != sides[0].size() * sides[1].size() * sides[2].size()) continue;
    Grid& grid = grids_[key];
    for (const std::int64_t m : sides[0]) grid.m.push_back(log_of(m));
    for (const std::int64_t k : sides[1]) grid.k.push_back(log_of(k));
    for (const std::int64_t n : sides[2]) grid.n.push_back(log_of(n));
    // A map walks its keys in the grid's order: m slowest, n fastest.
    for (const auto& [shape, gflops] : points) grid.log_seconds.push_back(-std::log(gflops * 1e9));
  }
}

double CostModel::seconds(const Product& product) const {
  const auto m = static_cast<double>(product.m), k = static_cast<double>(product.k),
             n = static_cast<double>(product.n);
  const double operands = (m * k + k * n) * static_cast<double>(size_of(product.operand));
  return product.count * std::max(arithmetic_seconds(product, 2 * m * k * n),
                                  operands / (kReadShare * read_bytes_per_second_));
}

double CostModel::arithmetic_seconds(const Product& product, double flops) const {
  if (flops <= 0) return 0;
  auto at = grids_.find({product.operand, form_of(product)});
  if (at == grids_.end() && product.accumulate) at = grids_.find({product.operand, GemmForm::tn});
  if (at == grids_.end()) {
    const double peak =
        product.operand == DType::bf16 && bf16_flops_ > 0 ? bf16_flops_ : f32_flops_;
    return kCallSeconds + flops / (kProductShare * peak);
  }
  const Grid& grid = at->second;
  const std::array<Place, 3> places = {locate(grid.m, log_of(product.m)),
                                       locate(grid.k, log_of(product.k)),
                                       locate(grid.n, log_of(product.n))};
  const std::array<size_t, 3> sizes = {grid.m.size(), grid.k.size(), grid.n.size()};
  double log_seconds = 0;
  for (unsigned corner = 0; corner < 8; ++corner) {
    double weight = 1;
    size_t index = 0;
    for (size_t axis = 0; axis < 3; ++axis) {
      const bool upper = (corner >> axis & 1u) != 0;
      weight *= upper ? places[axis].share : 1 - places[axis].share;
      index = index * sizes[axis] + std::min(places[axis].cell + upper, sizes[axis] - 1);
    }
    if (weight > 0) log_seconds += weight * grid.log_seconds[index];
  }
  return flops * std::exp(log_seconds);
}

const std::vector<CostModel::Curve>* CostModel::curves_of(const OpWork& work) const {
  const std::string name = work.op + " " + work.variant;
  auto at = curves_.find(name);
  for (const std::string_view end : {kGrouped, kInverse, kSmall})
    if (at == curves_.end() && name.ends_with(end))
      at = curves_.find(name.substr(0, name.size() - end.size()));
  return at == curves_.end() ? nullptr : &at->second;
}

bool CostModel::knows(const OpWork& work) const {
  return curves_of(work) != nullptr;
}

double CostModel::seconds(const OpWork& work) const {
  const std::vector<Curve>* curves = curves_of(work);
  if (curves == nullptr) return from_peaks(work, 0);
  const double fill = work.fill_bytes / bytes_per_second_;
  if (work.work <= 0) return fill;
  std::vector<double> widths;
  for (const Curve& curve : *curves) widths.push_back(curve.log_width);
  const Place place = locate(widths, log_of(work.width));
  const auto at = [&](size_t curve) {
    const std::vector<OpPoint>& points = (*curves)[curve].points;
    const bool moves = work.moves && points.front().bytes > 0;
    const double seconds = moves ? along(points, &OpPoint::bytes, work.bytes)
                                 : along(points, &OpPoint::work, work.work);
    return std::log(std::max(seconds, kMinSeconds));
  };
  const double low = at(place.cell);
  const double high = place.share > 0 ? at(place.cell + 1) : low;
  return fill + std::exp(low + (high - low) * place.share);
}

double CostModel::from_peaks(const OpWork& work, double flops) const {
  return kCallSeconds + std::max(flops / (kVectorShare * f32_flops_),
                                 work.bytes / (kCopyShare * bytes_per_second_));
}

double CostModel::seconds(const OpCall& call) const {
  if (calls_.empty()) return from_rates(call);
  const auto at = calls_.find(to_string(call));
  return at == calls_.end() ? from_rates(call) : at->second;
}

double CostModel::from_rates(const OpCall& call) const {
  const OpWork work = work_of(call);
  double sum = 0;
  if (call.op->products != nullptr) {
    for (const Product& product : call.op->products(call.query())) sum += seconds(product);
    return knows(work) ? sum + seconds(work) : sum;
  }
  return knows(work) ? seconds(work) : from_peaks(work, call.op->cost(call.query()).flops);
}

}  // namespace outsize
