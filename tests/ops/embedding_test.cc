// Token ids outside the table end in a Status, not in a read of foreign memory.
#include "ops/embedding/embedding.h"

#include <gtest/gtest.h>

#include <vector>

#include "ops/ops.h"

namespace outsize {
namespace {

Status look_up(const OpDef& op, const Attrs& attrs, const ValueType& floats, std::int32_t id) {
  const std::vector<ValueType> inputs = {floats, {DType::i32, {2}}};
  const auto outputs = op.infer(attrs, inputs);
  const auto kernel = make_kernel(op, {attrs, inputs, outputs});
  std::vector<float> from(static_cast<size_t>(floats.shape.numel()), 1.0f);
  std::vector<float> to(static_cast<size_t>(outputs[0].shape.numel()), 0.0f);
  const std::vector<std::int32_t> ids = {0, id};
  const void* in[] = {from.data(), ids.data()};
  void* out[] = {to.data()};
  return kernel->launch({in, out, nullptr});
}

TEST(Embedding, RefusesIdsOutsideTheTable) {
  const Attrs attrs{{"scale", 1.0}, {"vocabulary", std::int64_t{5}}};
  const ValueType table{DType::f32, {5, 3}}, dy{DType::f32, {2, 3}};
  for (std::int32_t id : {0, 4}) {
    EXPECT_TRUE(look_up(embedding_op(), attrs, table, id).ok());
    EXPECT_TRUE(look_up(embedding_grad_op(), attrs, dy, id).ok());
  }
  for (std::int32_t id : {-1, 5, INT32_MIN, INT32_MAX}) {
    EXPECT_STREQ(look_up(embedding_op(), attrs, table, id).message(),
                 "[embedding] a token id lies outside the table");
    EXPECT_STREQ(look_up(embedding_grad_op(), attrs, dy, id).message(),
                 "[embedding_grad] a token id lies outside the table");
  }
}

}  // namespace
}  // namespace outsize
