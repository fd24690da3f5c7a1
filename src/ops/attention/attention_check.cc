#include "ops/attention/attention_check.h"

#include <algorithm>

#include "core/error.h"

namespace outsize {

AttentionShape attention_shape(const char* op, const Attrs& attrs) {
  constexpr std::int64_t kMax = 1 << 20;  // keeps every product of two far from overflow
  const AttentionShape shape{attrs.integer("heads"), attrs.integer("kv_heads"),
                             attrs.integer("head_dim"), attrs.integer_or("window", 0),
                             static_cast<float>(attrs.real("scale"))};
  if (shape.heads < 1 || shape.heads > kMax || shape.kv_heads < 1 ||
      shape.heads % shape.kv_heads != 0)
    fail(ErrorKind::InvalidArgument,
         "[{}] heads cannot share kv heads evenly; got {} heads, {} kv heads; expected a multiple",
         op, shape.heads, shape.kv_heads);
  if (shape.head_dim < 2 || shape.head_dim > kMax || shape.head_dim % 2 != 0)
    fail(ErrorKind::InvalidArgument, "[{}] wrong head_dim; got {}; expected an even number", op,
         shape.head_dim);
  if (!(shape.scale > 0))  // kernels take the highest product for the highest score
    fail(ErrorKind::InvalidArgument, "[{}] wrong scale; got {}; expected a number above 0", op,
         shape.scale);
  if (shape.window < 0)
    fail(ErrorKind::InvalidArgument, "[{}] wrong window; got {}; expected 0 (none) or more", op,
         shape.window);
  return shape;
}

void check_attention_inputs(const char* op, const AttentionShape& shape, const ValueType& q,
                            const ValueType& k, const ValueType& v) {
  const bool matrices = q.shape.ndim() == 2 && k.shape.ndim() == 2;
  const bool dtypes = q.dtype == DType::f32 || q.dtype == DType::bf16;
  if (!matrices || !dtypes || k.dtype != q.dtype || v != k || k.shape[0] != q.shape[0] ||
      q.shape[1] != shape.heads * shape.head_dim || k.shape[1] != shape.kv_heads * shape.head_dim)
    fail(ErrorKind::InvalidArgument,
         "[{}] q, k, v do not match the heads; got {}, {}, {}; expected [N,{}] and twice [N,{}], "
         "all "
         "f32 or all bf16",
         op, to_string(q), to_string(k), to_string(v), shape.heads * shape.head_dim,
         shape.kv_heads * shape.head_dim);
}

double attention_pairs(std::int64_t queries, std::int64_t past, std::int64_t window) {
  const double n = static_cast<double>(queries), p = static_cast<double>(past);
  const double all = n * p + n * (n + 1) / 2;
  if (window == 0) return all;
  // Queries whose window is full see exactly `window` keys.
  const std::int64_t growing = std::clamp<std::int64_t>(window - past, 0, queries);
  const double g = static_cast<double>(growing);
  return g * p + g * (g + 1) / 2 + (n - g) * static_cast<double>(window);
}

}  // namespace outsize
