#include "backends/cpu/matmul.h"

#include <cstring>
#include <dnnl.hpp>
#include <optional>

#include "backends/cpu/pack.h"
#include "backends/cpu/tile_product.h"
#include "backends/cpu/transpose.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/round_up.h"

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

// As `pack` writes it.
memory::desc describe_packed(std::int64_t k, std::int64_t n, DType dtype) {
  const auto tag =
      dtype == DType::bf16 ? memory::format_tag::BA16a64b2a : memory::format_tag::BA16a64b;
  return memory::desc({k, n}, to_dnnl(dtype), tag);
}

memory::desc describe(std::int64_t rows, std::int64_t columns, DType dtype, bool transposed) {
  const memory::dims strides = transposed ? memory::dims{1, rows} : memory::dims{columns, 1};
  return memory::desc({rows, columns}, to_dnnl(dtype), strides);
}

dnnl::matmul::primitive_desc make_descriptor(const MatmulSpec& spec, const memory::desc& b) {
  const memory::desc a = describe(spec.m, spec.k, spec.operand, spec.transpose_a);
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

// oneDNN packs a plain right operand as it goes, too, but products take 3 to 30 % less where it is
// packed as a whole beforehand, that included (docs/PERFORMANCE.md, "Packed operands").
constexpr std::int64_t kMostPackedBytes = std::int64_t{128} << 20;

std::int64_t turned_bytes(const MatmulSpec& spec) {
  const std::int64_t bytes = spec.m * spec.k * size_of(spec.operand);
  const bool turns = spec.transpose_a && spec.operand == DType::bf16 && bytes <= kMostTurnedBytes;
  return turns ? round_up(bytes, kAlignment) : 0;
}

// The product that oneDNN runs: with b packed where that pays and oneDNN would pack it so itself.
struct Chosen {
  dnnl::matmul::primitive_desc product;
  bool packs;
};

Chosen choose(MatmulSpec spec) {
  if (turned_bytes(spec) > 0) spec.transpose_a = false;
  if (packed_bytes(spec.k, spec.n, spec.operand) <= kMostPackedBytes) {
    const memory::desc any({spec.k, spec.n}, to_dnnl(spec.operand), memory::format_tag::any);
    const auto product = make_descriptor(spec, any);
    if (product.weights_desc() == describe_packed(spec.k, spec.n, spec.operand))
      return {product, true};
  }
  const memory::desc b = describe(spec.k, spec.n, spec.operand, spec.transpose_b);
  return {make_descriptor(spec, b), false};
}

bool is_empty(const MatmulSpec& spec) {
  return spec.m == 0 || spec.n == 0 || spec.k == 0;
}

}  // namespace

struct Matmul::Impl {
  MatmulSpec spec;
  std::optional<TileProduct> tiles;     // else oneDNN's
  std::int64_t turned = 0, packed = 0;  // bytes
  memory::desc a, b, c, bias, scratch;
  dnnl::matmul primitive;
};

const char* matmul_unsupported(const MatmulSpec& spec) {
  if (spec.operand != DType::f32 && spec.operand != DType::bf16)
    return "operands are neither f32 nor bf16";
  if (spec.result != DType::f32 && spec.result != spec.operand)
    return "the result is neither f32 nor the operands' dtype";
  if (spec.accumulate && spec.result != DType::f32) return "accumulates only in f32";
  if (is_empty(spec) || TileProduct::runs(spec)) return nullptr;
  try {
    choose(spec);
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
  if (TileProduct::runs(spec)) {
    impl_->tiles.emplace(spec);
    return;
  }
  const auto [descriptor, packs] = choose(spec);
  impl_->turned = turned_bytes(spec);
  impl_->packed = packs ? packed_bytes(spec.k, spec.n, spec.operand) : 0;
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
  if (impl_->tiles) return impl_->tiles->workspace_bytes();
  return impl_->turned + impl_->packed + static_cast<std::int64_t>(impl_->scratch.get_size());
}

Status Matmul::run(const void* a, const void* b, const float* bias, void* c,
                   void* workspace) const noexcept {
  const MatmulSpec& spec = impl_->spec;
  if (is_empty(spec)) {
    const bool clear = spec.k == 0 && !spec.accumulate && spec.m > 0 && spec.n > 0;
    if (clear) std::memset(c, 0, static_cast<size_t>(spec.m * spec.n * size_of(spec.result)));
    return {};
  }
  if (impl_->tiles) {
    impl_->tiles->run(a, b, bias, c, workspace);
    return {};
  }
  char* scratch = static_cast<char*>(workspace);
  if (impl_->turned > 0) {
    transpose_16_bit(a, spec.k, spec.m, scratch);
    a = scratch;
    scratch += impl_->turned;
  }
  if (impl_->packed > 0) {
    pack(b, spec.k, spec.n, spec.operand, spec.transpose_b, scratch);
    b = scratch;
    scratch += impl_->packed;
  }
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
