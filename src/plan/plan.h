// A plan: which tasks run in which order, and where every byte they touch lives. Plain data: the
// planner writes it, the checker proves it, the executor runs it, the printer shows it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "graph/program.h"

namespace outsize {

enum class Tier { host };  // RAM; disk, pinned and device join with the any-size work
enum class Resource { cpu, disk_read, disk_write };  // one worker each
constexpr int kResourceCount = 3;
const char* name_of(Resource resource);
template <class T>
using PerResource = std::array<T, kResourceCount>;

// Contiguous, 64-byte aligned piece of a tier.
struct Extent {
  Tier tier = Tier::host;
  std::int64_t offset = 0;  // bytes from the tier's arena start
  std::int64_t bytes = 0;
};

enum class BufferKind { weights, optimizer, gradients, activations, workspace, batch, state };
constexpr int kBufferKindCount = 7;
const char* name_of(BufferKind kind);

struct Buffer {
  std::string name;
  BufferKind kind = BufferKind::workspace;
  Extent extent;
  // Holds meaning before the first task and after the last (weights, moments, batch, caches).
  bool persistent = false;
};

enum class TaskKind {
  forward,        // one call of a segment
  backward,       // its differentiated graph
  gradient_norm,  // sum of squares over all gradients
  update,         // one parameter's optimizer step
};
const char* name_of(TaskKind kind);

struct Task {
  TaskKind kind = TaskKind::forward;
  Resource resource = Resource::cpu;
  int call = -1;        // forward, backward: index into Program::calls
  int microbatch = -1;  // forward, backward
  int parameter = -1;   // update
  // backward: per parameter gradient, whether it adds to what earlier tasks of the step left.
  std::vector<char> accumulate;
  std::vector<int> after;          // tasks that must have ended; same-resource order is implied
  std::vector<int> reads, writes;  // buffers; a buffer updated in place is in both
  double flops = 0, bytes = 0;     // work, for predictions and the trace
  double seconds = 0;  // on a machine with nothing beside it; 0 where nobody priced the plan
  // The part of `seconds` that shrinks with the share of positions that have a target.
  double target_seconds = 0;
};

// When a task ran, or shall run.
struct TaskTime {
  double start_seconds = 0, end_seconds = 0;  // since the start of the step
};

// How a segment call finds its memory. Buffer indices; -1 where a value is absent.
struct CallBinding {
  std::vector<int> inputs, outputs, parameters, saved;  // forward, in graph order
  int forward_scratch = -1;
  // Backward, in the order of Backward's lists.
  std::vector<int> output_cotangents, input_cotangents, parameter_gradients, outputs_again;
  int backward_scratch = -1;
};

struct Plan {
  std::vector<Task> tasks;
  std::vector<Buffer> buffers;
  std::int64_t arena_bytes = 0;  // host arena, exactly what the executor maps

  // bindings[microbatch][call]; inference has one microbatch.
  std::vector<std::vector<CallBinding>> bindings;
  std::vector<int> weights, gradients;      // per parameter
  std::vector<std::vector<int>> optimizer;  // per parameter: its state buffers
  std::vector<int> update_scratch;          // per parameter, -1 when the rule needs none
  std::vector<std::vector<int>> values;     // [microbatch][program value]; -1 for boundaries
  int loss_scale = -1;                      // f64[1]: cotangent of every loss, written by the host
  int gradient_norm = -1;  // f64[1]: global norm, written by the gradient_norm task

  // Largest bytes of each kind alive at one time; their sum may exceed the peak.
  std::vector<std::int64_t> peak_bytes_by_kind = std::vector<std::int64_t>(kBufferKindCount, 0);
};

// "backward of block.3, microbatch 0", for people.
std::string task_name(const Program& program, const Task& task);

}  // namespace outsize
