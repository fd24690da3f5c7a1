// A program made ready to run: per segment its forward graph and, for training, the differentiated
// one in each variant that the plan asks for (which parameter gradients add to earlier ones).
#pragma once

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
  bool recompute = false;  // also the variant that keeps only segment inputs for backward
  KernelChoice kernels = KernelChoice::best;
  OpPrice price;  // fills the profiles' seconds; may be empty
};

class CompiledProgram {
 public:
  // `program` must outlive this. Throws Internal when the program is malformed.
  CompiledProgram(const Program& program, const CompileOptions& options);

  const Program& program() const { return program_; }
  // What the planner needs, per segment: of the variant that keeps, and of the one that recomputes
  // (empty unless CompileOptions::recompute).
  const std::vector<SegmentProfile>& profiles() const { return keeping_.profiles; }
  const std::vector<SegmentProfile>& recomputing_profiles() const { return recomputing_.profiles; }

  const CompiledGraph& forward(int segment, bool recompute = false) const;
  const Backward& backward_of(int segment, bool recompute = false) const;
  // Compiles for these flags on first use: call it before the first step, not during one.
  const CompiledGraph& backward(int segment, bool recompute, const std::vector<char>& accumulate);
  // Forward values kept for backward that are results of nodes, in profile order.
  const std::vector<ValueId>& saved_results(int segment, bool recompute = false) const;

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
  void compile_variant(bool recompute, const CompileOptions& options);
  void compile_backward(int segment, bool recompute);
  void fill_profile(int segment, bool recompute, const OpPrice& price);
  Variant& variant(bool recompute) { return recompute ? recomputing_ : keeping_; }
  const Compiled& compiled(int segment, bool recompute) const {
    return (recompute ? recomputing_ : keeping_).segments.at(static_cast<size_t>(segment));
  }

  const Program& program_;
  KernelCache kernels_;
  std::vector<bool> wanted_;  // per program value: does a gradient flow through it?
  Variant keeping_, recomputing_;
};

}  // namespace outsize
