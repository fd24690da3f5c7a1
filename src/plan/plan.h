// A plan: which tasks run in which order, and where every byte they touch lives. Plain data: the
// planner writes it, the checker proves it, the executor runs it, the printer shows it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/small_vector.h"
#include "graph/program.h"

namespace outsize {

// Where bytes live: RAM; a file of the run that is worth nothing after the step; the state store,
// whose bytes are durable; its log, where the ring layout keeps a step's gradients
// (docs/DURABILITY.md).
enum class Tier { host, scratch, store, log };
constexpr int kTierCount = 4;
enum class Resource { cpu, disk_read, disk_write };  // one worker each
constexpr int kResourceCount = 3;
const char* name_of(Resource resource);
template <class T>
using PerResource = std::array<T, kResourceCount>;

// What moves between tiers begins at a multiple of this and has a multiple of it as its length.
constexpr std::int64_t kMovedAlignment = 4096;
constexpr std::int64_t whole_pages(std::int64_t bytes) {
  return (bytes + kMovedAlignment - 1) / kMovedAlignment * kMovedAlignment;
}

// Contiguous piece of a tier, 64-byte aligned.
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
  // Goes to or comes from a disk: page-aligned, and its bytes are rounded up to pages.
  bool moved = false;
};

// One buffer's bytes, or a part of them, from one tier to another.
struct Move {
  int from = -1, to = -1;  // buffers
  std::int64_t from_offset = 0, to_offset = 0;
  std::int64_t bytes = 0;  // multiple of kMovedAlignment, as the offsets are
};

// One named piece of the state store or its log: a group is one call's parameters, an item the
// weight, one optimizer buffer or the gradient of one of them.
struct StoreItem {
  std::string name;
  int group = 0;            // program call
  std::int64_t offset = 0;  // in the tier
  std::int64_t bytes = 0;   // whole pages
};

// A piece of a buffer, for an update of part of a parameter.
struct BufferPiece {
  int buffer = -1;
  std::int64_t offset = 0;  // bytes
};

// Where an update finds its memory: `count` elements of a parameter, from element `first`.
struct UpdateBinding {
  std::int64_t first = 0, count = 0;
  BufferPiece weight, gradient, scratch;
  std::vector<BufferPiece> state;  // in the order of the rule
};

using BufferIds = SmallVector<int, 6>;

enum class TaskKind {
  forward,           // one call of a segment
  backward,          // its differentiated graph
  gradient_squares,  // sum over one parameter's finished gradient
  gradient_norm,     // from the sums
  update,            // optimizer step of one parameter, or of a piece of it
  read,              // moves from scratch, store or log to RAM
  write,             // and back
  publish,           // what was written to one store group becomes what is read
  seal,              // the log is whole: from here on the step can be redone
  commit,            // all groups have been published: the step is durable, its log is free
};
const char* name_of(TaskKind kind);

struct Task {
  TaskKind kind = TaskKind::forward;
  Resource resource = Resource::cpu;
  int call = -1;            // forward, backward, gradient_squares: index into Program::calls
  int microbatch = -1;      // forward, backward
  int parameter = -1;       // update
  int update = -1;          // update: index into Plan::updates
  std::vector<Move> moves;  // read, write: all with the same tier
  int group = -1;           // publish: StoreItem::group
  // backward: per parameter gradient, whether it adds to what earlier tasks of the step left.
  std::vector<char> accumulate;
  SmallVector<int, 2> after;    // tasks that must have ended; same-resource order is implied
  int after_previous = -1;      // the same of the run before, where the plan carries: a disk_write
  BufferIds reads, writes;      // buffers; a buffer updated in place is in both
  double flops = 0, bytes = 0;  // work, for predictions and the trace
  double seconds = 0;  // on a machine with nothing beside it; 0 where nobody priced the plan
  // The part of `seconds` that hangs on targets: with one at every position, at half of them, at a
  // quarter, and so on kTargetPrices times. Empty: nothing does.
  std::vector<double> target_seconds;
};

// Shares of positions at which work that hangs on targets is priced: 1, 1/2, … 1/128.
constexpr int kTargetPrices = 8;
// What such prices (or any other numbers at those shares) make of a share in [0, 1]: straight
// between two of them, in proportion below the last.
double at_target_share(const std::vector<double>& prices, double share);

// When a task ran, or shall run.
struct TaskTime {
  double start_seconds = 0, end_seconds = 0;  // since the start of the step
};

// What backward computes anew instead of reading what forward kept: nothing; results that take no
// longer to compute than to move (OpDef::memory_bound); all but the segment's inputs.
enum class Recompute : char { nothing, cheap, everything };
constexpr int kRecomputeCount = 3;

// How a segment call finds its memory. Buffer indices; -1 where a value is absent.
struct CallBinding {
  std::vector<int> inputs, outputs, parameters, saved;  // forward, in graph order
  int forward_scratch = -1;
  // As backward finds them: the same, or what was read back.
  std::vector<int> inputs_again, parameters_again, saved_again;
  Recompute recompute = Recompute::nothing;
  // Backward, in the order of Backward's lists.
  std::vector<int> output_cotangents, input_cotangents, parameter_gradients, outputs_again;
  int backward_scratch = -1;
};

// Which work of a step a plan has. Updates may be left to the next step, where they run beside
// forward, while the disk would idle: then steps are one `begin`, `middle`s, and an `end`, whose
// plans agree on everything that lives from one to the next.
enum class StepPart {
  whole,   // forward, backward, updates
  begin,   // forward, backward; the gradients wait
  middle,  // the updates that wait, each before its forward; backward
  end,     // the updates that wait
  redo,    // those that a crash left, from the log; what lives in RAM lies as in the others
};

struct Plan {
  std::vector<Task> tasks;
  std::vector<Buffer> buffers;
  std::int64_t arena_bytes = 0;    // host arena, exactly the executor's
  std::int64_t scratch_bytes = 0;  // file
  std::int64_t store_bytes = 0;    // one copy of the durable state; 0: the run keeps no store
  std::int64_t log_bytes = 0;      // 0: the store has two slots, and no log
  // Of runs one after the other, the last writes of each may go on while the next one computes;
  // what it wrote is committed there, by the first task on disk_write.
  bool carries = false;

  // bindings[microbatch][call]; inference has one microbatch.
  std::vector<std::vector<CallBinding>> bindings;
  std::vector<UpdateBinding> updates;
  // Per parameter; -1 where it has no place of its own in RAM from step to step.
  std::vector<int> weights;
  std::vector<std::vector<int>> optimizer;  // its state buffers
  std::vector<int> gradients;               // per parameter; in RAM from the first write on
  // Per parameter: its items in the store, weight first; empty without one.
  std::vector<std::vector<StoreItem>> store;
  std::vector<StoreItem> log;            // per parameter: its gradient; empty without a log
  std::vector<std::vector<int>> values;  // [microbatch][program value]; -1 for boundaries
  int loss_scale = -1;                   // f64[1]: cotangent of every loss, written by the host
  int gradient_squares = -1;             // f64[parameters]
  int gradient_norm = -1;                // f64[1]: global norm, written by the gradient_norm task

  // Largest bytes of each kind alive at one time; their sum may exceed the peak.
  std::vector<std::int64_t> peak_bytes_by_kind = std::vector<std::int64_t>(kBufferKindCount, 0);
};

// "backward of block.3, microbatch 0", for people.
std::string task_name(const Program& program, const Task& task);

}  // namespace outsize
