// Runs a checked plan: maps the arena once, binds every task to addresses once, then only computes.
// No tensor-sized memory is allocated after construction.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "exec/compiled_program.h"
#include "exec/disk_tiers.h"
#include "exec/host_arena.h"
#include "exec/lanes.h"
#include "optim/update_rule.h"
#include "plan/plan.h"

namespace outsize {

// How parameters are updated; shared by all of them.
struct UpdateSetup {
  const UpdateRule* rule = nullptr;
  std::vector<ParameterSpec> parameters;  // per program parameter
};

struct StepArgs {
  std::int64_t step = 1;  // from 1
  double lr = 0;
  double clip = 0;  // global norm; 0: no clipping
  // False: calls that give results and nothing else compute nothing; their values stay as they are.
  bool results = true;
};

// What updates still need of the step whose gradients they apply.
struct PendingUpdates {
  StepArgs args;
  double gradient_scale = 1;  // clipping
};

class Executor {
 public:
  // Checks the plan and binds it to the arena, which must hold plan.arena_bytes and may be shared
  // by executors whose plans agree on what lies where. `compiled` and the rule must outlive the
  // executor.
  // `disks`: needed when the plan moves anything; may be shared in the same way.
  Executor(CompiledProgram& compiled, Plan plan, std::shared_ptr<HostArena> arena,
           UpdateSetup setup = {}, std::shared_ptr<DiskTiers> disks = nullptr);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  const Plan& plan() const { return plan_; }
  // Of the arena that it is bound to.
  std::int64_t arena_bytes() const { return arena_->bytes(); }

  // Address of a buffer; valid for the executor's life. Bytes: plan().buffers[id].extent.bytes.
  void* buffer(int id) const;
  // Of a batch, result or state value.
  void* value(int microbatch, std::string_view name) const;
  // Current weight of a program parameter, in its dtype; it must be resident.
  void* weight(int parameter) const;

  // Runs every task once. Batches and the loss scale must have been written. Throws Internal naming
  // the task when a kernel fails, InvalidArgument naming the parameter when a gradient is not
  // finite (no weight has changed then, unless updates run with backward: none after that one), Io
  // and Corruption as DiskTiers::run. Of a plan that carries, its last writes may go on after it
  // returns: what reads or commits the state elsewhere settles first.
  void run(const StepArgs& args);
  // Until nothing is under way any more. Throws as run().
  void settle() { lanes_->settle(); }
  // How many there have been.
  std::uint64_t runs() const { return lanes_->runs(); }
  // The same for plans whose updates are an earlier step's (StepPart::middle, end).
  void run(const StepArgs& args, const PendingUpdates& pending);
  // Of the last run's gradients, for updates in a later one.
  PendingUpdates pending() const { return {args_, scale_}; }
  // Global norm of the last run's gradients, before clipping.
  double gradient_norm() const;
  // Of the last run, once it is settled.
  const std::vector<TaskTime>& times() const { return times_; }
  const Program& program() const { return program_; }
  struct OpTime {
    const OpCall* call;
    double seconds;
  };
  // Of the last run, every launch of every task in order.
  std::vector<OpTime> op_times() const;

  // Called in the lane of each task, before and after it: tests delay lanes and copy gradients out.
  std::function<void(const Task&)> before_task, after_task;
  // What a seal or commit task does, called in its lane; plans with a log need both, those that
  // carry the second. In a seal pending() and gradient_norm() are those of the step.
  std::function<void()> seal;
  std::function<void(std::uint64_t run)> commit;  // runs(), where that one is at work

 private:
  struct Launch {
    const Kernel* kernel;
    std::shared_ptr<const OpCall> call;
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    void* workspace;
    double seconds = 0;  // of the last run
  };
  struct BoundTask {
    std::vector<Launch> launches;  // forward and backward
    bool only_results = false;     // a forward whose outputs are nothing else
    UpdateArgs update;
    std::vector<void*> state;  // update: optimizer buffers
    ParameterSpec spec;        // update: of the piece
  };

  void bind_tasks(CompiledProgram& compiled);
  void bind_forward(const CompiledProgram& compiled, const Task& task, BoundTask& bound);
  void bind_backward(CompiledProgram& compiled, const Task& task, BoundTask& bound);
  void bind_graph(const CompiledGraph& graph, std::vector<void*> addresses, int scratch,
                  BoundTask& bound);
  void bind_update(const Task& task, BoundTask& bound);
  void start(const StepArgs& args);
  void run_task(int t, std::uint64_t run);
  void run_launches(const Task& task, BoundTask& bound);
  void run_squares(const Task& task);
  void run_norm();
  void run_update(const Task& task, const BoundTask& bound) const;

  const Program& program_;
  Plan plan_;
  UpdateSetup setup_;
  std::shared_ptr<HostArena> arena_;
  std::shared_ptr<DiskTiers> disks_;
  std::vector<BoundTask> bound_;
  std::vector<TaskTime> times_;
  // Of the step that runs.
  StepArgs args_;
  double scale_ = 1;  // of its gradients, by clipping
  std::optional<PendingUpdates> earlier_;
  std::array<std::chrono::steady_clock::time_point, 2> starts_;  // of runs, the last two in turn
  std::unique_ptr<Lanes> lanes_;  // last: its workers use all of the above
};

}  // namespace outsize
