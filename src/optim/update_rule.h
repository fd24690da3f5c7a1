// Optimizers: rules that turn a gradient into new weights and new state. A rule works on memory
// that the caller placed; it declares the state and scratch it needs so that a planner can place
// them, and it knows neither models nor tiers. Adding one: a file with a make_ function and a line
// in rules.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/status.h"

namespace outsize {

// How a parameter is stored. An f32 weight is its own master. A bf16 weight has a state buffer
// kMasterLow, which together with it holds the f32 master exactly (optim/master.h).
struct ParameterSpec {
  Shape shape;
  DType dtype = DType::f32;  // f32 or bf16
  bool decay = true;         // false (norms, biases): weight decay is 0 for this parameter
};

// One buffer a rule keeps per parameter between updates, count elements of dtype.
struct StateBuffer {
  const char* name;  // a literal
  DType dtype;
  std::int64_t count;
};

inline constexpr const char* kMasterLow = "master_low";

struct UpdateArgs {
  void* weight = nullptr;           // spec.shape of spec.dtype, read and written
  const float* gradient = nullptr;  // spec.shape, f32, only read
  std::span<void* const> state;     // one address per buffer of state(), in its order
  std::int64_t step = 0;            // number of this update, from 1; same for every parameter
  double lr = 0;                    // of this update
  double gradient_scale = 1;        // the gradient counts times this: clipping (optim/clip.h)
  void* workspace = nullptr;        // workspace_bytes(), 8-byte aligned, contents meaningless
};

// What one update moves and computes, for a planner's estimate of its time.
struct UpdateCost {
  std::int64_t bytes_read = 0;
  std::int64_t bytes_written = 0;
  std::int64_t flops = 0;
};

// The addresses an update works on, after the checks of UpdateRule::update.
struct UpdateTarget {
  std::int64_t count;           // elements of the parameter, > 0
  void* weight;                 // f32, or bf16 with low
  std::int16_t* low;            // null for f32 weights
  std::span<void* const> rule;  // the rule's own state buffers, without kMasterLow
};

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;

  virtual const char* name() const = 0;

  // Buffers kept for this parameter; kMasterLow comes first if the weight is bf16. Every buffer
  // starts as zero bytes: a zero kMasterLow makes the master equal the bf16 weight, and a rule
  // that needs other values sets them at step 1. Throws InvalidArgument for a dtype other than f32
  // and bf16.
  std::vector<StateBuffer> state(const ParameterSpec& spec) const;

  // Scratch bytes of one update. Throws InvalidArgument when that overflows.
  virtual std::int64_t workspace_bytes(const ParameterSpec&) const { return 0; }

  virtual UpdateCost cost(const ParameterSpec& spec) const = 0;

  // True if element i of weight and state depends on element i of the gradient alone: then a
  // parameter may be updated in pieces (a spec per piece), with the same bits.
  virtual bool elementwise() const = 0;

  // One update on all threads, without allocating. Same bits for any thread count. On a bad Status
  // (wrong number of buffers, null address, step < 1, lr or gradient_scale not finite) nothing has
  // changed. Values are not inspected: a NaN gradient makes NaN weights; see clip_scale.
  Status update(const ParameterSpec& spec, const UpdateArgs& args) const noexcept;

 private:
  virtual std::vector<StateBuffer> rule_state(const ParameterSpec& spec) const = 0;
  virtual int rule_state_count(const ParameterSpec& spec) const = 0;
  virtual Status apply(const ParameterSpec& spec, const UpdateTarget& target,
                       const UpdateArgs& args) const noexcept = 0;
};

// All numbers are finite. Each rule reads the fields named for it and ignores the others.
struct OptimizerOptions {
  std::string name = "adamw";  // adamw, sgd or adafactor
  double weight_decay = 0;     // all; >= 0. Decoupled, except sgd: added to the gradient as L2
  // adamw: means of gradient and squared gradient, in [0, 1); eps >= 0 is added to the root
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  // sgd: in [0, 1); nesterov needs momentum > 0
  double momentum = 0;
  bool nesterov = false;
  // adafactor: second moment decays by 1 - t^-decay_rate at update t, decay_rate > 0 (torch's
  // beta2_decay = -decay_rate); updates of root mean square above clip_threshold > 0 (torch's d)
  // are scaled down to it; eps1 >= 0 keeps the second moment's root above it; eps2 >= 0 is the
  // least root mean square of the weights that the learning rate is taken relative to
  double decay_rate = 0.8;
  double clip_threshold = 1;
  std::optional<double> eps1;  // absent: 2^-23
  double eps2 = 1e-3;
  // adamw, sgd: dtype of the stored means, f32 or bf16. Arithmetic is f32; bf16 is rounded to
  // nearest when stored, so a mean whose change per update is below 2^-9 of it stands still (beta2
  // > 0.998).
  DType moment_dtype = DType::f32;
};

// Throws InvalidArgument for an unknown name (listing the known ones) or a value out of range.
std::unique_ptr<UpdateRule> make_update_rule(const OptimizerOptions& options);

}  // namespace outsize
