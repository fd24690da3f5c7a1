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
  bool recompute = false;  // keep only segment inputs and recompute the rest in backward
  KernelChoice kernels = KernelChoice::best;
  OpPrice price;  // fills the profiles' seconds; may be empty
};

class CompiledProgram {
 public:
  // `program` must outlive this. Throws Internal when the program is malformed.
  CompiledProgram(const Program& program, const CompileOptions& options);

  const Program& program() const { return program_; }
  // What the planner needs, per segment.
  const std::vector<SegmentProfile>& profiles() const { return profiles_; }

  const CompiledGraph& forward(int segment) const;
  const Backward& backward_of(int segment) const;
  // Compiles the variant on first use: call it before the first step, not during one.
  const CompiledGraph& backward(int segment, const std::vector<char>& accumulate);
  // Forward values kept for backward that are results of nodes, in profile order.
  const std::vector<ValueId>& saved_results(int segment) const;

 private:
  struct Compiled {
    CompiledGraph forward;
    std::optional<Backward> backward;
    std::vector<ValueId> saved_results;
    std::map<std::vector<char>, CompiledGraph> variants;
  };

  void find_wanted_values();
  void compile_backward(int segment, const CompileOptions& options);
  void fill_profile(int segment, const OpPrice& price);

  const Program& program_;
  KernelCache kernels_;
  std::vector<bool> wanted_;  // per program value: does a gradient flow through it?
  std::vector<Compiled> segments_;
  std::vector<SegmentProfile> profiles_;
};

}  // namespace outsize
