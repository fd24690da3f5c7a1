// From work to seconds: what an op, or an update of a parameter, takes on a machine. The rates are
// the machine's; which op is what work is the graph's. Where a machine file has no rate for an op
// (most written by hand have none), peak rates and fixed shares of them step in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "graph/op.h"
#include "machine/machine.h"
#include "optim/update_rule.h"

namespace outsize {

// Ends of a variant: attention whose heads share keys and values, a rotation back, a table that
// caches hold. What was not measured apart, as by hand, is priced as the variant without.
constexpr std::string_view kGrouped = " grouped", kInverse = " inverse", kSmall = " small";

// How a machine file names and counts an operation.
struct OpWork {
  std::string op, variant;
  std::int64_t width = 0;  // elements of a row: of a norm, a head, or the last dimension
  double work = 0;         // flops; for ops made of products: elements of the first one's result
  double bytes = 0;
  bool moves = false;     // so few flops that the time grows with the bytes
  double fill_bytes = 0;  // cleared beforehand, where sums start instead of going on
};
OpWork work_of(const OpCall& call);
OpWork work_of_update(const UpdateRule& rule, const ParameterSpec& spec);
// The sum of squares over `bytes` of f32 gradients.
OpWork work_of_norm(double bytes);

GemmForm form_of(const Product& product);

class CostModel {
 public:
  // Keeps what it needs of the machine.
  explicit CostModel(const Machine& machine);

  // All >= 0. Of an op whose time depends on data (OpDef::time_depends_on): with the most work
  // they can make. What the machine was measured at (Machine::calls), else from rates.
  double seconds(const OpCall& call) const;
  double seconds(const Product& product) const;
  double seconds(const OpWork& work) const;
  // False where only peak rates are known.
  bool knows(const OpWork& work) const;

 private:
  // Seconds per operation at the corners of a grid over log m, log k, log n.
  struct Grid {
    std::vector<double> m, k, n;  // logs, ascending
    std::vector<double> log_seconds;
  };
  struct Curve {
    double log_width = 0;
    std::vector<OpPoint> points;
  };

  void add_grids(const std::vector<GemmRate>& rates);
  double from_rates(const OpCall& call) const;
  const std::vector<Curve>* curves_of(const OpWork& work) const;
  double from_peaks(const OpWork& work, double flops) const;
  // Of one such product, its operands being at hand.
  double arithmetic_seconds(const Product& product, double flops) const;

  std::map<std::pair<DType, GemmForm>, Grid> grids_;
  std::map<std::string, std::vector<Curve>> curves_;  // by op and variant; widths ascend
  std::map<std::string, double> calls_;               // seconds, by text
  double f32_flops_ = 0, bf16_flops_ = 0;             // per second
  double bytes_per_second_ = 0, read_bytes_per_second_ = 0;
};

}  // namespace outsize
