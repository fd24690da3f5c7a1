#include "backends/cpu/matmul.h"

#include <cstring>
#include <dnnl.hpp>

#include "backends/cpu/transpose.h"
#include "core/error.h"
#include "core/parallel.h"

namespace outsize {
namespace {

using dnnl::memory;

constexpr std::int64_t kAlignment = 64;  // of the scratchpad behind what was turned over

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::data_type to_dnnl(DType dtype) {
  return dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc describe(std::int64_t rows, std::int64_t columns, DType dtype, bool transposed) {
  const memory::dims strides = transposed ? memory::dims{1, rows} : memory::dims{columns, 1};
  return memory::desc({rows, columns}, to_dnnl(dtype), strides);
}

dnnl::matmul::primitive_desc make_descriptor(const MatmulSpec& spec) {
  const memory::desc a = describe(spec.m, spec.k, spec.operand, spec.transpose_a);
  const memory::desc b = describe(spec.k, spec.n, spec.operand, spec.transpose_b);
  const memory::desc c = describe(spec.m, spec.n, spec.result, false);
  const memory::desc bias({1, spec.n}, memory::data_type::f32, memory::format_tag::ab);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (spec.accumulate) {
    dnnl::post_ops post;
    post.append_sum(1.0f);
    attr.set_post_ops(post);
  }
#if DNNL_VERSION_MAJOR >= 3
  return spec.bias ? dnnl::matmul::primitive_desc(cpu_engine(), a, b, bias, c, attr)
                   : dnnl::matmul::primitive_desc(cpu_engine(), a, b, c, attr);
#else
  return spec.bias
             ? dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, bias, c), attr, cpu_engine())
             : dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attr, cpu_engine());
#endif
}

// oneDNN turns a transposed operand of 16-bit elements over bit by bit as it goes; turned over as a
// whole beforehand the product takes 5 to 7 % less, that included (docs/PERFORMANCE.md, "Gradients
// of weights").
constexpr std::int64_t kMostTurnedBytes = std::int64_t{64} << 20;

std::int64_t turned_bytes(const MatmulSpec& spec) {
  const std::int64_t bytes = spec.m * spec.k * size_of(spec.operand);
  const bool turns = spec.transpose_a && spec.operand == DType::bf16 && bytes <= kMostTurnedBytes;
  return turns ? (bytes + kAlignment - 1) / kAlignment * kAlignment : 0;
}

// The product that oneDNN runs.
dnnl::matmul::primitive_desc descriptor_of(MatmulSpec spec) {
  if (turned_bytes(spec) > 0) spec.transpose_a = false;
  return make_descriptor(spec);
}

bool is_empty(const MatmulSpec& spec) {
  return spec.m == 0 || spec.n == 0 || spec.k == 0;
}

}  // namespace

struct Matmul::Impl {
  MatmulSpec spec;
  memory::desc a, b, c, bias, scratch;
  dnnl::matmul primitive;
};

const char* matmul_unsupported(const MatmulSpec& spec) {
  if (spec.operand != DType::f32 && spec.operand != DType::bf16)
    return "operands are neither f32 nor bf16";
  if (spec.result != DType::f32 && spec.result != spec.operand)
    return "the result is neither f32 nor the operands' dtype";
  if (spec.accumulate && spec.result != DType::f32) return "accumulates only in f32";
  if (is_empty(spec)) return nullptr;
  try {
    descriptor_of(spec);
    return nullptr;
  } catch (const dnnl::error&) {
    return "oneDNN has no kernel for these dtypes on this processor";
  }
}

Matmul::Matmul(const MatmulSpec& spec) : impl_(std::make_unique<Impl>()) {
  if (const char* reason = matmul_unsupported(spec))
    fail(ErrorKind::Unsupported, "[matmul] {}; got {} {}x{}x{}", reason, name_of(spec.operand),
         spec.m, spec.k, spec.n);
  thread_count();  // fixes oneDNN's team before its primitives partition their work
  impl_->spec = spec;
  if (is_empty(spec)) return;
  const auto descriptor = descriptor_of(spec);
  impl_->a = descriptor.src_desc();
  impl_->b = descriptor.weights_desc();
  impl_->c = descriptor.dst_desc();
  if (spec.bias) impl_->bias = descriptor.bias_desc();
  impl_->scratch = descriptor.scratchpad_desc();
  impl_->primitive = dnnl::matmul(descriptor);
}

Matmul::~Matmul() = default;
Matmul::Matmul(Matmul&&) noexcept = default;
Matmul& Matmul::operator=(Matmul&&) noexcept = default;

std::int64_t Matmul::workspace_bytes() const {
  if (is_empty(impl_->spec)) return 0;
  return turned_bytes(impl_->spec) + static_cast<std::int64_t>(impl_->scratch.get_size());
}

Status Matmul::run(const void* a, const void* b, const float* bias, void* c,
                   void* workspace) const noexcept {
  const MatmulSpec& spec = impl_->spec;
  if (is_empty(spec)) {
    const bool clear = spec.k == 0 && !spec.accumulate && spec.m > 0 && spec.n > 0;
    if (clear) std::memset(c, 0, static_cast<size_t>(spec.m * spec.n * size_of(spec.result)));
    return {};
  }
  const std::int64_t turned = turned_bytes(spec);
  if (turned > 0) {
    transpose_16_bit(a, spec.k, spec.m, workspace);
    a = workspace;
  }
  char* scratch = static_cast<char*>(workspace) + turned;
  try {
    thread_local dnnl::stream stream(cpu_engine());
    auto bind = [](const memory::desc& desc, const void* data) {
      return memory(desc, cpu_engine(), const_cast<void*>(data));
    };
    std::unordered_map<int, memory> args = {
        {DNNL_ARG_SRC, bind(impl_->a, a)},
        {DNNL_ARG_WEIGHTS, bind(impl_->b, b)},
        {DNNL_ARG_DST, bind(impl_->c, c)},
        {DNNL_ARG_SCRATCHPAD, bind(impl_->scratch, scratch)},
    };
    if (spec.bias) args.insert({DNNL_ARG_BIAS, bind(impl_->bias, bias)});
    impl_->primitive.execute(stream, args);
    stream.wait();
    return {};
  } catch (const dnnl::error&) {
    return Status("oneDNN failed to run a matrix product");
  }
}

}  // namespace outsize
