#include "ops/cached_attention/cached_attention_cpu.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "core/round_up.h"
#include "ops/attention/attention_check.h"
#include "ops/attention/attention_cpu.h"
#include "ops/cached_attention/cached_attention_simd.h"

namespace outsize {
namespace {

// Up to here each token reads the cache for itself; beyond, lanes of queries pay.
constexpr std::int64_t kFewTokens = 4;
// Runs of keys per token: enough for many threads, few enough to join cheaply.
constexpr std::int64_t kChunksMax = 64;
constexpr std::int64_t kChunkKeysMin = 256;

// What both kernels share: the types, the check of `past`, the write of the new rows.
struct Cache {
  explicit Cache(const KernelQuery& query)
      : shape(attention_shape("cached_attention", query.attrs)),
        dtype(query.inputs[0].dtype),
        tokens(query.inputs[0].shape[0]),
        capacity(query.outputs[1].shape[0]),
        row_bytes(shape.kv_heads * shape.head_dim * size_of(dtype)),
        slots(thread_count()) {}

  static std::int64_t past(const KernelArgs& args) {
    return *static_cast<const std::int32_t*>(args.inputs[3]);
  }

  Status append(const KernelArgs& args) const {
    const std::int64_t first = past(args);
    if (first < 0) return Status("[cached_attention] past is negative");
    if (first > capacity - tokens)
      return Status("[cached_attention] the cache is full: past + tokens exceed its capacity");
    for (size_t i = 1; i <= 2; ++i)
      if (tokens > 0)
        std::memcpy(static_cast<char*>(args.outputs[i]) + first * row_bytes, args.inputs[i],
                    static_cast<size_t>(tokens * row_bytes));
    return {};
  }

  AttentionShape shape;
  DType dtype;
  std::int64_t tokens, capacity, row_bytes, slots;
};

const char* probe_few(const KernelQuery& query) {
  const DType dtype = query.inputs[0].dtype;
  if (dtype != DType::f32 && dtype != DType::bf16) return "only f32 and bf16";
  return query.inputs[0].shape[0] <= kFewTokens ? nullptr : "only for few tokens";
}

const char* probe_many(const KernelQuery& query) {
  const DType dtype = query.inputs[0].dtype;
  return dtype == DType::f32 || dtype == DType::bf16 ? nullptr : "only f32 and bf16";
}

IsaTables<DecodeKernels> decode_tables(DType dtype) {
  if (dtype == DType::bf16)
    return {&isa_baseline::decode_bf16, &isa_avx2::decode_bf16, &isa_avx512::decode_bf16,
            &isa_avx512::decode_bf16};
  return {&isa_baseline::decode_f32, &isa_avx2::decode_f32, &isa_avx512::decode_f32,
          &isa_avx512::decode_f32};
}

class FewTokensKernel : public Kernel {
 public:
  explicit FewTokensKernel(const KernelQuery& query)
      : cache_(query),
        kernels_(decode_tables(cache_.dtype)),
        chunk_keys_(
            std::max(kChunkKeysMin, round_up((cache_.capacity + kChunksMax - 1) / kChunksMax, 16))),
        chunks_((cache_.capacity + chunk_keys_ - 1) / chunk_keys_),
        partial_words_(decode_partial_words(cache_.shape.head_dim)),
        slot_words_(kernels_.largest(
            [&](const auto& table) { return table.scratch_words(cache_.shape, chunk_keys_); })) {}

  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<FewTokensKernel>(query);
  }

  std::int64_t workspace_bytes() const override {
    const std::int64_t partials = cache_.tokens * cache_.shape.heads * chunks_ * partial_words_;
    return 4 * (cache_.slots * slot_words_ + partials);
  }

  Status launch(const KernelArgs& args) const noexcept override {
    if (Status status = cache_.append(args); !status.ok()) return status;
    float* scratch = static_cast<float*>(args.workspace);
    float* partials = scratch + cache_.slots * slot_words_;
    run_tasks(cache_.tokens * chunks_, cache_.slots, [&](std::int64_t task, std::int64_t slot) {
      run_chunk(args, task / chunks_, task % chunks_, partials, scratch + slot * slot_words_);
    });
    parallel_for(cache_.tokens * cache_.shape.heads, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t at = begin; at < end; ++at) join(args, at, partials);
    });
    return {};
  }

 private:
  // Keys [first, last] of a token.
  struct Keys {
    std::int64_t first, last;
  };
  Keys keys_of(const KernelArgs& args, std::int64_t token) const {
    const std::int64_t position = Cache::past(args) + token, window = cache_.shape.window;
    return {window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0, position};
  }

  void run_chunk(const KernelArgs& args, std::int64_t token, std::int64_t chunk, float* partials,
                 float* scratch) const {
    const Keys keys = keys_of(args, token);
    const std::int64_t begin = std::max(keys.first, chunk * chunk_keys_);
    const std::int64_t end = std::min(keys.last + 1, (chunk + 1) * chunk_keys_);
    if (begin >= end) return;
    const AttentionShape& shape = cache_.shape;
    const char* q = static_cast<const char*>(args.inputs[0]) +
                    token * shape.heads * shape.head_dim * size_of(cache_.dtype);
    kernels_.active().run(
        {.shape = shape,
         .begin = begin,
         .end = end,
         .q = q,
         .k = args.outputs[1],
         .v = args.outputs[2],
         .partials = partials + (token * shape.heads * chunks_ + chunk) * partial_words_,
         .partial_stride = chunks_ * partial_words_},
        scratch);
  }

  void join(const KernelArgs& args, std::int64_t at, const float* partials) const {
    const Keys keys = keys_of(args, at / cache_.shape.heads);
    const std::int64_t first = keys.first / chunk_keys_, last = keys.last / chunk_keys_;
    char* out =
        static_cast<char*>(args.outputs[0]) + at * cache_.shape.head_dim * size_of(cache_.dtype);
    kernels_.active().join(partials + (at * chunks_ + first) * partial_words_, last - first + 1,
                           cache_.shape.head_dim, out);
  }

  Cache cache_;
  IsaTables<DecodeKernels> kernels_;
  std::int64_t chunk_keys_, chunks_, partial_words_, slot_words_;
};

class ManyTokensKernel : public Kernel {
 public:
  explicit ManyTokensKernel(const KernelQuery& query)
      : cache_(query),
        kernels_(attention_forward_tables(cache_.dtype)),
        slot_bytes_(kernels_.largest(
            [&](const auto& table) { return table.scratch_bytes(cache_.shape, cache_.tokens); })) {}

  static std::unique_ptr<Kernel> make(const KernelQuery& query) {
    return std::make_unique<ManyTokensKernel>(query);
  }

  std::int64_t workspace_bytes() const override { return cache_.slots * slot_bytes_; }

  Status launch(const KernelArgs& args) const noexcept override {
    if (Status status = cache_.append(args); !status.ok()) return status;
    const AttentionForward forward{.row = {.shape = cache_.shape,
                                           .queries = cache_.tokens,
                                           .past = Cache::past(args),
                                           .document_start = nullptr,
                                           .row_begin = 0,
                                           .q = args.inputs[0],
                                           .k = args.outputs[1],
                                           .v = args.outputs[2]},
                                   .out = args.outputs[0],
                                   .lse = nullptr};
    const std::int64_t span = kernels_.active().span(cache_.shape, cache_.tokens);
    const std::int64_t blocks = (cache_.tokens + span - 1) / span;
    run_tasks(blocks * cache_.shape.kv_heads, cache_.slots,
              [&](std::int64_t task, std::int64_t slot) {
                const std::int64_t block = blocks - 1 - task / cache_.shape.kv_heads;
                const std::int64_t begin = block * span;
                kernels_.active().run(forward, task % cache_.shape.kv_heads, begin,
                                      std::min(begin + span, cache_.tokens),
                                      static_cast<char*>(args.workspace) + slot * slot_bytes_);
              });
    return {};
  }

 private:
  Cache cache_;
  IsaTables<AttentionForwardKernels> kernels_;
  std::int64_t slot_bytes_;
};

}  // namespace

std::vector<KernelCandidate> cached_attention_kernels() {
  return {{"few tokens", probe_few, FewTokensKernel::make},
          {"blocked", probe_many, ManyTokensKernel::make}};
}

}  // namespace outsize
