#include "ops/attention/attention_reference.h"

#include <algorithm>
#include <cmath>

namespace outsize {
namespace {

struct Layout {
  explicit Layout(const Attrs& attrs)
      : heads(attrs.integer("heads")),
        kv_heads(attrs.integer("kv_heads")),
        head_dim(attrs.integer("head_dim")),
        window(attrs.integer_or("window", 0)),
        scale(attrs.real("scale")) {}

  double* query(const RefTensor& x, std::int64_t token, std::int64_t head) const {
    return x.data.data() + (token * heads + head) * head_dim;
  }
  // Vector of the kv head that query head `head` shares.
  double* key(const RefTensor& x, std::int64_t token, std::int64_t head) const {
    return x.data.data() + (token * kv_heads + head / (heads / kv_heads)) * head_dim;
  }
  std::int64_t first_key(const RefTensor& document_start, std::int64_t token) const {
    const auto start = static_cast<std::int64_t>(document_start.data[static_cast<size_t>(token)]);
    return window == 0 ? start : std::max(start, token - window + 1);
  }
  double dot(const double* a, const double* b) const {
    double sum = 0;
    for (std::int64_t d = 0; d < head_dim; ++d) sum += a[d] * b[d];
    return sum;
  }
  void add(double factor, const double* x, double* to) const {
    for (std::int64_t d = 0; d < head_dim; ++d) to[d] += factor * x[d];
  }

  std::int64_t heads, kv_heads, head_dim, window;
  double scale;
};

}  // namespace

void attention_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                         std::span<const RefTensor> outputs) {
  const Layout at(attrs);
  const RefTensor &q = inputs[0], &k = inputs[1], &v = inputs[2];
  for (std::int64_t i = 0; i < q.shape[0]; ++i)
    for (std::int64_t h = 0; h < at.heads; ++h) {
      const std::int64_t first = at.first_key(inputs[3], i);
      auto score = [&](std::int64_t j) {
        return at.scale * at.dot(at.query(q, i, h), at.key(k, j, h));
      };
      double top = score(first);
      for (std::int64_t j = first + 1; j <= i; ++j) top = std::max(top, score(j));
      double sum = 0;
      for (std::int64_t j = first; j <= i; ++j) sum += std::exp(score(j) - top);
      const double lse = top + std::log(sum);
      double* out = at.query(outputs[0], i, h);
      std::fill(out, out + at.head_dim, 0.0);
      for (std::int64_t j = first; j <= i; ++j)
        at.add(std::exp(score(j) - lse), at.key(v, j, h), out);
      outputs[1].data[static_cast<size_t>(i * at.heads + h)] = lse;
    }
}

void attention_grad_reference(const Attrs& attrs, std::span<const RefTensor> inputs,
                              std::span<const RefTensor> outputs) {
  const Layout at(attrs);
  const RefTensor &dout = inputs[0], &q = inputs[1], &k = inputs[2], &v = inputs[3];
  const RefTensor &dq = outputs[0], &dk = outputs[1], &dv = outputs[2];
  for (const RefTensor& output : outputs) std::fill(output.data.begin(), output.data.end(), 0.0);
  for (std::int64_t i = 0; i < q.shape[0]; ++i)
    for (std::int64_t h = 0; h < at.heads; ++h) {
      const auto index = static_cast<size_t>(i * at.heads + h);
      const double lse = inputs[5].data[index];
      double delta = at.dot(at.query(dout, i, h), at.query(inputs[4], i, h));
      if (inputs.size() == 8) delta -= inputs[7].data[index];
      for (std::int64_t j = at.first_key(inputs[6], i); j <= i; ++j) {
        const double weight = std::exp(at.scale * at.dot(at.query(q, i, h), at.key(k, j, h)) - lse);
        const double dscore =
            at.scale * weight * (at.dot(at.query(dout, i, h), at.key(v, j, h)) - delta);
        at.add(weight, at.query(dout, i, h), at.key(dv, j, h));
        at.add(dscore, at.query(q, i, h), at.key(dk, j, h));
        at.add(dscore, at.key(k, j, h), at.query(dq, i, h));
      }
    }
}

}  // namespace outsize
