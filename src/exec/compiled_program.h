// A program made ready to run: per segment its forward graph and, for training, the differentiated
// one in each variant that the plan asks for (which parameter gradients add to earlier ones).
#pragma once

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "exec/compiled_graph.h"
#include "graph/differentiate.h"
#include "graph/program.h"
#include "plan/planner.h"

namespace outsize {

struct CompileOptions {
  bool training = false;
  bool recompute = false;  // also the variants that keep less for backward
  KernelChoice kernels = KernelChoice::best;
  OpPrice price;  // fills the profiles' seconds; may be empty
};

class CompiledProgram {
 public:
  // `program` must outlive this. Throws Internal when the program is malformed.
  CompiledProgram(const Program& program, const CompileOptions& options);

  const Program& program() const { return program_; }
  // What the planner needs, per segment: of the variant that keeps, and of those that recompute, as
  // PlanRequest has them (empty unless CompileOptions::recompute).
  const std::vector<SegmentProfile>& profiles() const { return variants_.front().profiles; }
  std::vector<std::vector<SegmentProfile>> recomputing_profiles() const;

  const CompiledGraph& forward(int segment, Recompute recompute) const;
  const Backward& backward_of(int segment, Recompute recompute) const;
  // Compiles for these flags on first use: call it before the first step, not during one.
  const CompiledGraph& backward(int segment, Recompute recompute,
                                const std::vector<char>& accumulate);
  // Forward values kept for backward that are results of nodes, in profile order.
  const std::vector<ValueId>& saved_results(int segment, Recompute recompute) const;

 private:
  struct Compiled {
    CompiledGraph forward;
    std::optional<Backward> backward;
    std::vector<ValueId> saved_results;
    std::map<std::vector<char>, CompiledGraph> by_flags;
  };
  struct Variant {
    std::vector<Compiled> segments;
    std::vector<SegmentProfile> profiles;
  };

  void find_wanted_values();
  void compile_variant(Recompute recompute, const CompileOptions& options);
  void compile_backward(int segment, Recompute recompute);
  void fill_profile(int segment, Recompute recompute, const OpPrice& price);
  Variant& variant(Recompute recompute) { return variants_[static_cast<size_t>(recompute)]; }
  const Compiled& compiled(int segment, Recompute recompute) const {
    return variants_[static_cast<size_t>(recompute)].segments.at(static_cast<size_t>(segment));
  }

  const Program& program_;
  KernelCache kernels_;
  std::vector<bool> wanted_;  // per program value: does a gradient flow through it?
  std::array<Variant, kRecomputeCount> variants_;
};

}  // namespace outsize
