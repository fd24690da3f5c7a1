// Where the time of the last step went, and where more of it went than the machine asks for: every
// op against its own floor.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "exec/executor.h"

namespace outsize {

// What bounds a step on this machine, measured in the same run.
struct FloorRates {
  double gemm_gflops = 0;        // of the step's dtype; > 0
  double ram_gb_per_second = 0;  // the fastest of reading, copying and mixing; > 0
  double target_share = 1;       // of the positions; ops that skip the others cost less by as much
};

// All launches of one kind in the last step: same op, attributes and types. Updates and the
// gradient norm are kinds of their own.
struct ProfileRow {
  std::string name;  // of the op, or of the task
  std::string call;  // types and attributes, shortened; empty once rows are merged by name
  int count = 0;
  double seconds = 0;
  // FLOPs over the GEMM rate or bytes over the RAM rate, each launch by the larger. Operands that
  // lie in a cache may move faster, so an op can end below its floor.
  double floor_seconds = 0;
  double compute_seconds = 0;  // the part of the floor that FLOPs decide

  double loss_seconds() const { return seconds - floor_seconds; }
};

// Rows in the order of what they lose, most first.
std::vector<ProfileRow> profile_step(const Executor& executor, const FloorRates& rates);
// The same rows, one per name.
std::vector<ProfileRow> merged_by_name(const std::vector<ProfileRow>& rows);

// Seconds of the last step by op name.
std::map<std::string, double> seconds_by_op(const Executor& executor);

// Three tables: kinds of task and segment; ops against their floors; the calls that lose most, and
// how much faster the step would be without their loss.
std::string describe_step(const Executor& executor, const FloorRates& rates);
// One object per row: name, call, count, seconds, floor_seconds, bound ("compute" or "memory").
nlohmann::json profile_to_json(const std::vector<ProfileRow>& rows);

}  // namespace outsize
