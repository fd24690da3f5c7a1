// What an op is: one definition per op, in its own folder under src/ops. Everything else about it
// (tests, costs, memory, documentation) is derived from this definition and its samples.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "core/status.h"
#include "graph/attrs.h"

namespace outsize {

class GradContext;  // graph/differentiate.h

struct ValueType {
  DType dtype = DType::f32;
  Shape shape;

  std::int64_t bytes() const { return shape.numel() * size_of(dtype); }
  bool operator==(const ValueType&) const = default;
};

// "bf16[2048,768]"
std::string to_string(const ValueType& type);

// Work of one call; the op-cost model turns it into seconds.
struct Cost {
  double flops = 0;          // a multiply-add counts 2
  double bytes_read = 0;     // from RAM, each operand once
  double bytes_written = 0;  // to RAM
};

// c[m,n] (+)= a[m,k]·b[k,n], `count` times over; a transposed operand is stored the other way
// round.
struct Product {
  std::int64_t m = 0, k = 0, n = 0;
  DType operand = DType::f32;
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  double count = 1;
};

// ---- Kernels -----------------------------------------------------------------------------------

struct KernelQuery {
  const Attrs& attrs;
  std::span<const ValueType> inputs;
  std::span<const ValueType> outputs;
};

struct KernelArgs {
  std::span<const void* const> inputs;
  std::span<void* const> outputs;
  void* workspace = nullptr;  // at least workspace_bytes(), 64-byte aligned, contents undefined
};

// A compiled kernel for one query. Stateless between launches and safe to share by segments.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Scratch asked for at plan time; the kernel allocates nothing of tensor size itself.
  virtual std::int64_t workspace_bytes() const { return 0; }
  // Computes; blocks until done on the CPU. Inputs and outputs do not overlap, except that an
  // accumulating output holds the old value.
  virtual Status launch(const KernelArgs& args) const noexcept = 0;
};

struct KernelCandidate {
  const char* name;
  // nullptr when this kernel takes the query, else the reason why not.
  const char* (*probe)(const KernelQuery& query);
  std::unique_ptr<Kernel> (*make)(const KernelQuery& query);
};

// ---- Reference ---------------------------------------------------------------------------------

// Integers are held as doubles too (exact below 2^53).
struct RefTensor {
  Shape shape;
  std::span<double> data;
};

// Plain loops in float64, the oracle and last resort. Must not allocate. An accumulating output
// arrives holding the old value (zeros when the node does not accumulate) and must be added to.
using ReferenceFn = void (*)(const Attrs& attrs, std::span<const RefTensor> inputs,
                             std::span<const RefTensor> outputs);

// ---- Samples: the harness derives all tests of an op from them ----------------------------------

struct SampleInput {
  enum class Kind {
    activation,  // takes the dtype under test (f32, bf16)
    weight,      // a matrix parameter: takes the dtype under test
    vector,      // a norm weight or bias: always f32
    integers,    // i32, given by `values` or drawn from [low, high]
  };
  Kind kind = Kind::activation;
  Shape shape;
  double low = -1.0;  // floats: normal with mean (low+high)/2 and deviation (high-low)/2
  double high = 1.0;
  std::vector<double> values;  // when not empty: the exact contents
};

struct Sample {
  std::string name;
  Attrs attrs;
  std::vector<SampleInput> inputs;
};

// Types that the shape rule must refuse, with a part of the expected message.
struct BadSample {
  Attrs attrs;
  std::vector<ValueType> inputs;
  std::string message;
};

// ---- Definition --------------------------------------------------------------------------------

struct OpCall;

struct OpDef {
  const char* name;
  // Output types from input types; throws InvalidArgument "[op] what; got …; expected …".
  std::vector<ValueType> (*infer)(const Attrs& attrs, std::span<const ValueType> inputs);
  ReferenceFn reference;
  Cost (*cost)(const KernelQuery& query);
  // Builds the backward nodes; nullptr when the op is not differentiable (or is itself a gradient).
  void (*gradient)(GradContext& context) = nullptr;
  // In order of preference; the float64 reference stands behind them as the last resort.
  std::vector<KernelCandidate> kernels = {};
  // Bit i set: output i is added to when the node's attribute `accumulate` is 1.
  std::uint32_t accumulating_outputs = 0;
  // Empty only for gradient ops, which the harness reaches through the op they belong to.
  std::vector<Sample> (*samples)() = nullptr;
  std::vector<BadSample> (*bad_samples)() = nullptr;
  const OpDef* gradient_of = nullptr;
  // Relative error allowed per kernel = this × epsilon(dtype); see docs/NUMERICS.md.
  double tolerance_factor = 4.0;
  // The matrix products it is made of, where it has any; the rest of its time is vector work.
  std::vector<Product> (*products)(const KernelQuery& query) = nullptr;
  // To compute it anew takes about as long as to write and read its result once more.
  bool memory_bound = false;
  // What of the data its time hangs on, for people ("targets"); nullptr: types alone decide. Costs
  // then assume the most work.
  const char* time_depends_on = nullptr;
  // Where that is the targets: the call that does as much work as this one with targets at a share,
  // in (0, 1], of its positions.
  OpCall (*with_targets)(OpCall call, double share) = nullptr;
};

// One use of an op with all that decides its time but the data.
struct OpCall {
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<ValueType> inputs, outputs;

  KernelQuery query() const { return {attrs, inputs, outputs}; }
};
// "add{}(f32[2,3], f32[2,3]) -> f32[2,3]"; equal text means equal calls.
std::string to_string(const OpCall& call);

}  // namespace outsize
