// Runs a checked plan: maps the arena once, binds every task to addresses once, then only computes.
// No tensor-sized memory is allocated after construction.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "exec/compiled_program.h"
#include "exec/host_arena.h"
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
};

class Executor {
 public:
  // Checks the plan and binds it to the arena, which must hold plan.arena_bytes and may be shared
  // by executors whose plans agree on what lies where. `compiled` and the rule must outlive the
  // executor.
  Executor(CompiledProgram& compiled, Plan plan, std::shared_ptr<HostArena> arena,
           UpdateSetup setup = {});
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  const Plan& plan() const { return plan_; }

  // Address of a buffer; valid for the executor's life. Bytes: plan().buffers[id].extent.bytes.
  void* buffer(int id) const;
  // Of a batch, result or state value.
  void* value(int microbatch, std::string_view name) const;
  // Current weight of a program parameter, in its dtype.
  void* weight(int parameter) const;

  // Runs every task once. Batches and the loss scale must have been written. Throws Internal naming
  // the task when a kernel fails, InvalidArgument when the gradient norm is not finite (no weight
  // has changed then).
  void run(const StepArgs& args);
  // Global norm of the last run's gradients, before clipping.
  double gradient_norm() const;
  const std::vector<TaskTime>& times() const { return times_; }
  const Program& program() const { return program_; }
  struct OpTime {
    const OpCall* call;
    double seconds;
  };
  // Of the last run, every launch of every task in order.
  std::vector<OpTime> op_times() const;

  // Called after each task that ends in `run`; for gradients that a test wants to copy out.
  std::function<void(const Task&)> after_task;

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
    std::vector<void*> state;      // update: optimizer buffers
  };

  void bind_tasks(CompiledProgram& compiled);
  void bind_forward(const CompiledProgram& compiled, const Task& task, BoundTask& bound);
  void bind_backward(CompiledProgram& compiled, const Task& task, BoundTask& bound);
  void bind_graph(const CompiledGraph& graph, std::vector<void*> addresses, int scratch,
                  BoundTask& bound);
  void run_launches(const Task& task, BoundTask& bound);
  void run_norm(const Task& task);
  void run_update(const Task& task, const BoundTask& bound, const StepArgs& args,
                  double scale) const;

  const Program& program_;
  Plan plan_;
  UpdateSetup setup_;
  std::shared_ptr<HostArena> arena_;
  std::vector<BoundTask> bound_;
  std::vector<TaskTime> times_;
};

}  // namespace outsize
