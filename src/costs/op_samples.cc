#include "costs/op_samples.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "ops/activation/activation.h"
#include "ops/activation/functions.h"
#include "ops/add/add.h"
#include "ops/attention/attention.h"
#include "ops/embedding/embedding.h"
#include "ops/gated_activation/gated_activation.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/lm_loss/lm_loss.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rope/rope.h"
#include "ops/rope_table/rope_table.h"

namespace outsize {
namespace {

// No powers of two: their rows fall into the same sets of a cache, which few models suffer.
constexpr std::int64_t kRowWidths[] = {320, 1088, 4416};
constexpr std::int64_t kHeadWidths[] = {64, 128, 256};
constexpr std::int64_t kPlainWidth = 1024;  // where the length of rows does not matter
constexpr std::int64_t kTableElements = std::int64_t{128} << 20;  // more than caches hold
constexpr std::int64_t kSmallTableRows = 1024;                    // caches hold these
constexpr std::int64_t kWidestTable = 2048;
constexpr std::int64_t kTokensPerRow = 512;
constexpr std::int64_t kHeadsPerGroup = 4;  // that share keys and values

class Samples {
 public:
  Samples(DType dtype, std::int64_t elements) : dtype_(dtype), elements_(elements) {}

  std::vector<OpSample> all() {
    add_elementwise();
    for (const std::int64_t width : kRowWidths) add_by_rows(width);
    for (const std::int64_t width : kHeadWidths) add_by_heads(width);
    add_vocabulary();
    return std::move(samples_);
  }

 private:
  std::int64_t rows(std::int64_t width) const {
    return std::max<std::int64_t>(elements_ / width, 1);
  }
  ValueType matrix(std::int64_t width) const { return {dtype_, {rows(width), width}}; }

  void add(const OpDef& op, Attrs attrs, std::vector<ValueType> inputs, FillIntegers fill = {},
           Left left = Left::past_caches) {
    OpCall call{&op, std::move(attrs), std::move(inputs), {}};
    call.outputs = op.infer(call.attrs, call.inputs);
    samples_.push_back({std::move(call), std::move(fill), left});
  }

  static FillIntegers below(std::int64_t limit) {
    return [limit](const ValueType& type, std::uint64_t turn, std::int32_t* data) {
      const Rng random(1, turn);
      for (std::int64_t i = 0; i < type.shape.numel(); ++i)
        data[i] = static_cast<std::int32_t>(
            random.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(limit)));
    };
  }

  static FillIntegers in_turn(std::int64_t limit) {
    return [limit](const ValueType& type, std::uint64_t, std::int32_t* data) {
      for (std::int64_t i = 0; i < type.shape.numel(); ++i)
        data[i] = static_cast<std::int32_t>(i % limit);
    };
  }

  void add_elementwise() {
    const ValueType x = matrix(kPlainWidth);
    // What a product left is still there in bf16; in f32 it is twice as large.
    add(add_op(), {}, {x, x}, {}, dtype_ == DType::bf16 ? Left::by_product : Left::past_caches);
    for (std::int64_t kind = 0; kind < kActivationKinds; ++kind) {
      const Attrs attrs{{"kind", kind}};
      add(activation_op(), attrs, {x});
      add(activation_grad_op(), attrs, {x, x});
      if (kind > static_cast<std::int64_t>(ActivationKind::gelu_tanh)) continue;  // no gated one
      add(gated_activation_op(), attrs, {x, x});
      add(gated_activation_grad_op(), attrs, {x, x, x});
    }
    std::vector<double> frequencies;
    for (int i = 0; i < 64; ++i) frequencies.push_back(std::pow(1e3, -i / 64.0));
    const std::int64_t positions = std::max<std::int64_t>(elements_ / 1024, 1);
    if (dtype_ == DType::f32)
      add(rope_table_op(), {{"frequencies", frequencies}, {"scale", 1.0}},
          {{DType::i32, {positions}}}, below(kTokensPerRow));
  }

  void add_by_rows(std::int64_t width) {
    const ValueType x = matrix(width), w{DType::f32, {width}}, row{DType::f32, {rows(width)}},
                    rstd{DType::f32, {rows(width), 1}};
    const Attrs rms{{"eps", 1e-6}, {"weight_offset", 0.0}}, layer{{"eps", 1e-5}};
    Attrs rms_grad = rms, layer_grad = layer;
    rms_grad.set("accumulate", std::int64_t{1});
    layer_grad.set("accumulate", std::int64_t{1});
    add(rms_norm_op(), rms, {x, w});
    add(rms_norm_grad_op(), rms_grad, {x, x, w, rstd});
    add(layer_norm_op(), layer, {x, w, w});
    add(layer_norm_grad_op(), layer_grad, {x, x, w, row, row});
    add(linear_grad_bias_op(), {{"accumulate", std::int64_t{1}}}, {x});
    if (width > kWidestTable) return;
    add_table(width, std::min(kTableElements, 128 * elements_) / width);
    add_table(width, kSmallTableRows);
  }

  void add_table(std::int64_t width, std::int64_t words) {
    const ValueType table{dtype_, {words, width}}, ids{DType::i32, {rows(width)}};
    const FillIntegers fill = words == kSmallTableRows ? in_turn(words) : below(words);
    add(embedding_op(), {{"scale", 1.0}}, {table, ids}, fill, Left::long_ago);
    add(embedding_grad_op(),
        {{"scale", 1.0}, {"vocabulary", words}, {"accumulate", std::int64_t{1}}},
        {matrix(width), ids}, fill, Left::long_ago);
  }

  void add_by_heads(std::int64_t width) {
    const std::int64_t heads = std::max<std::int64_t>(kPlainWidth / width, 1);
    const std::int64_t tokens = std::max(kTokensPerRow, rows(kPlainWidth));
    const std::vector<ValueType> rotated{{dtype_, {tokens, heads * width}},
                                         {DType::f32, {tokens, width}}};
    add(rope_op(), {{"head_dim", width}}, rotated, {}, Left::by_product_with_table);
    add(rope_op(), {{"head_dim", width}, {"inverse", std::int64_t{1}}}, rotated, {},
        Left::by_attention_with_table);
    add_attention(width, heads, 1);
    add_attention(width, heads, kHeadsPerGroup);
  }

  // An even count of rows: one left over for one of two threads would be no model's.
  void add_attention(std::int64_t width, std::int64_t heads, std::int64_t group) {
    const std::int64_t tokens =
        std::clamp(rows(kPlainWidth) / (2 * kTokensPerRow), std::int64_t{1}, kMostAttentionPairs) *
        2 * kTokensPerRow;
    const std::int64_t kv_heads = heads / group;
    const ValueType x{dtype_, {tokens, heads * width}}, kv{dtype_, {tokens, kv_heads * width}},
        starts{DType::i32, {tokens}}, lse{DType::f32, {tokens, heads}};
    const AttentionOptions options{
        .heads = heads, .kv_heads = kv_heads, .head_dim = width, .row_length = kTokensPerRow};
    const FillIntegers rows_start = [](const ValueType& type, std::uint64_t, std::int32_t* data) {
      for (std::int64_t i = 0; i < type.shape.numel(); ++i)
        data[i] = static_cast<std::int32_t>(i / kTokensPerRow * kTokensPerRow);
    };
    add(attention_op(), to_attrs(options), {x, kv, kv, starts}, rows_start);
    add(attention_grad_op(), to_attrs(options), {x, x, kv, kv, x, lse, starts}, rows_start);
  }

  // Logits for more than a cache holds, as whole chunks are; a narrow model, so that the products
  // do not drown the rest.
  void add_vocabulary() {
    constexpr std::int64_t kWidth = 128, kRows = 1024, kLogitsPerElement = 8;
    const std::int64_t vocabulary =
        std::max<std::int64_t>(kLogitsPerElement * elements_ / kRows, 64);
    const ValueType x{dtype_, {kRows, kWidth}}, w{dtype_, {vocabulary, kWidth}},
        targets{DType::i32, {kRows}};
    add(lm_loss_op(), {}, {x, w, targets}, below(vocabulary));
    add(lm_loss_grad_op(), {}, {x, w, targets, {DType::f64, {1}}}, below(vocabulary));
  }

  static constexpr std::int64_t kMostAttentionPairs = 2;

  DType dtype_;
  std::int64_t elements_;
  std::vector<OpSample> samples_;
};

}  // namespace

std::vector<OpSample> op_samples(DType dtype, std::int64_t elements) {
  return Samples(dtype, elements).all();
}

}  // namespace outsize
