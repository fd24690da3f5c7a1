#include "ops/ops.h"

#include <fmt/format.h>

#include <vector>

#include "core/half.h"

namespace outsize {

#define OUTSIZE_OP(name) const OpDef& name##_op();
#include "ops/ops.inc"
#undef OUTSIZE_OP

std::span<const OpDef* const> all_ops() {
  static const std::vector<const OpDef*> ops = {
#define OUTSIZE_OP(name) &name##_op(),
#include "ops/ops.inc"
#undef OUTSIZE_OP
  };
  return ops;
}

namespace {

template <class T, class F>
void widen(const void* from, std::span<double> to, F convert) {
  const T* source = static_cast<const T*>(from);
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(convert(source[i]));
}

void load(DType dtype, const void* from, std::span<double> to) {
  auto same = [](auto x) { return x; };
  switch (dtype) {
    case DType::f64:
      return widen<double>(from, to, same);
    case DType::f32:
      return widen<float>(from, to, same);
    case DType::bf16:
      return widen<bf16>(from, to, [](bf16 x) { return to_f32(x); });
    case DType::f16:
      return widen<f16>(from, to, [](f16 x) { return to_f32(x); });
    case DType::i64:
      return widen<std::int64_t>(from, to, same);
    case DType::i32:
      return widen<std::int32_t>(from, to, same);
    case DType::i16:
      return widen<std::int16_t>(from, to, same);
    case DType::u8:
      return widen<std::uint8_t>(from, to, same);
  }
}

template <class T, class F>
void narrow(std::span<const double> from, void* to, F convert) {
  T* target = static_cast<T*>(to);
  for (size_t i = 0; i < from.size(); ++i) target[i] = convert(from[i]);
}

void store(DType dtype, std::span<const double> from, void* to) {
  switch (dtype) {
    case DType::f64:
      return narrow<double>(from, to, [](double x) { return x; });
    case DType::f32:
      return narrow<float>(from, to, [](double x) { return static_cast<float>(x); });
    case DType::bf16:
      return narrow<bf16>(from, to, [](double x) { return to_bf16(static_cast<float>(x)); });
    case DType::f16:
      return narrow<f16>(from, to, [](double x) { return to_f16(static_cast<float>(x)); });
    case DType::i64:
      return narrow<std::int64_t>(from, to, [](double x) { return static_cast<std::int64_t>(x); });
    case DType::i32:
      return narrow<std::int32_t>(from, to, [](double x) { return static_cast<std::int32_t>(x); });
    case DType::i16:
      return narrow<std::int16_t>(from, to, [](double x) { return static_cast<std::int16_t>(x); });
    case DType::u8:
      return narrow<std::uint8_t>(from, to, [](double x) { return static_cast<std::uint8_t>(x); });
  }
}

class ReferenceKernel : public Kernel {
 public:
  ReferenceKernel(const OpDef& op, const KernelQuery& query)
      : op_(op),
        attrs_(query.attrs),
        inputs_(query.inputs.begin(), query.inputs.end()),
        outputs_(query.outputs.begin(), query.outputs.end()) {}

  std::int64_t workspace_bytes() const override {
    std::int64_t elements = 0;
    for (const ValueType& type : inputs_) elements += type.shape.numel();
    for (const ValueType& type : outputs_) elements += type.shape.numel();
    return elements * static_cast<std::int64_t>(sizeof(double));
  }

  Status launch(const KernelArgs& args) const noexcept override {
    double* free = static_cast<double*>(args.workspace);
    auto take = [&](const ValueType& type) {
      const auto count = static_cast<size_t>(type.shape.numel());
      RefTensor tensor{type.shape, {free, count}};
      free += count;
      return tensor;
    };
    std::vector<RefTensor> inputs, outputs;  // a few descriptors, never tensor-sized
    for (size_t i = 0; i < inputs_.size(); ++i) {
      inputs.push_back(take(inputs_[i]));
      load(inputs_[i].dtype, args.inputs[i], inputs.back().data);
    }
    const bool accumulate = attrs_.integer_or("accumulate", 0) != 0;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      outputs.push_back(take(outputs_[i]));
      if (accumulate && (op_.accumulating_outputs >> i & 1u)) {
        load(outputs_[i].dtype, args.outputs[i], outputs.back().data);
      } else {
        for (double& x : outputs.back().data) x = 0.0;
      }
    }
    op_.reference(attrs_, inputs, outputs);
    for (size_t i = 0; i < outputs_.size(); ++i)
      store(outputs_[i].dtype, outputs[i].data, args.outputs[i]);
    return {};
  }

 private:
  const OpDef& op_;
  Attrs attrs_;
  std::vector<ValueType> inputs_, outputs_;
};

}  // namespace

std::unique_ptr<Kernel> make_reference_kernel(const OpDef& op, const KernelQuery& query) {
  return std::make_unique<ReferenceKernel>(op, query);
}

std::unique_ptr<Kernel> make_kernel(const OpDef& op, const KernelQuery& query) {
  for (const KernelCandidate& candidate : op.kernels)
    if (candidate.probe(query) == nullptr) return candidate.make(query);
  return make_reference_kernel(op, query);
}

std::string explain_kernel(const OpDef& op, const KernelQuery& query) {
  std::string text;
  for (const KernelCandidate& candidate : op.kernels) {
    const char* reason = candidate.probe(query);
    text += fmt::format("{}: {}\n", candidate.name, reason ? reason : "chosen");
    if (!reason) return text;
  }
  return text + "reference: chosen\n";
}

}  // namespace outsize
