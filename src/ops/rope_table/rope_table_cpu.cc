#include "ops/rope_table/rope_table_cpu.h"

#include <cmath>

#include "core/parallel.h"

namespace outsize {
namespace {

constexpr std::int64_t kAnglesPerTask = 1 << 11;

struct RopeTableKernel : Kernel {
  explicit RopeTableKernel(const KernelQuery& query)
      : rows(query.outputs[0].shape[0]),
        frequencies(query.attrs.list("frequencies")),
        scale(query.attrs.real("scale")) {}
  static const char* probe(const KernelQuery&) { return nullptr; }
  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<RopeTableKernel>(query);
  }
  Status launch(const KernelArgs& args) const noexcept override {
    const auto* positions = static_cast<const std::int32_t*>(args.inputs[0]);
    auto* table = static_cast<float*>(args.outputs[0]);
    const auto half = static_cast<std::int64_t>(frequencies.size());
    parallel_for(rows, kAnglesPerTask / half + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t n = begin; n < end; ++n) fill(positions[n], table + n * 2 * half);
    });
    return {};
  }
  void fill(std::int32_t position, float* row) const {
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double angle = position * frequencies[i];
      row[i] = static_cast<float>(scale * std::cos(angle));
      row[frequencies.size() + i] = static_cast<float>(scale * std::sin(angle));
    }
  }

  std::int64_t rows;
  std::vector<double> frequencies;
  double scale;
};

}  // namespace

std::vector<KernelCandidate> rope_table_kernels() {
  return {{"float64", RopeTableKernel::probe, RopeTableKernel::make}};
}

}  // namespace outsize
