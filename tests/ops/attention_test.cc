// What the samples of attention and cached_attention cannot say: documents do not reach each other
// in a single bit, the gradient through lse, misuse at launch, and generation against the whole
// text.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "core/half.h"
#include "ops/attention/attention.h"
#include "ops/cached_attention/cached_attention.h"
#include "ops/harness.h"
#include "ops/ops.h"

namespace outsize {
namespace {

using testing::LaunchResult;
using testing::NodeCase;
using testing::normals;

constexpr AttentionOptions kOptions{
    .heads = 4, .kv_heads = 2, .head_dim = 32, .scale = 0.17677669529663687};
constexpr std::int64_t kQueryWidth = 128, kKeyWidth = 64;

std::vector<double> random(const std::string& name, std::int64_t count, DType dtype) {
  std::vector<double> values = normals(name, count);
  for (double& x : values) x = testing::rounded(dtype, x);
  return values;
}

// Completes a case from its inputs; outputs that accumulate start from `old`.
NodeCase make(const OpDef& op, const Attrs& attrs, std::vector<ValueType> types,
              std::vector<std::vector<double>> values) {
  NodeCase node{op.name, &op, attrs, std::move(types), {}, std::move(values), {}};
  node.outputs = op.infer(attrs, node.inputs);
  for (const ValueType& type : node.outputs)
    node.old.emplace_back(static_cast<size_t>(type.shape.numel()), 0.0);
  return node;
}

LaunchResult run(const NodeCase& node) {
  return testing::launch(*make_kernel(*node.op, node.query()), node);
}

std::vector<double> numbers(const NodeCase& node, const LaunchResult& got, size_t output) {
  const auto count = static_cast<size_t>(node.outputs[output].shape.numel());
  std::vector<double> values;
  for (size_t i = 0; i < count; ++i) {
    const std::byte* at = got.outputs[output].data();
    if (node.outputs[output].dtype == DType::bf16) {
      bf16 x;
      std::memcpy(&x, at + i * sizeof x, sizeof x);
      values.push_back(to_f32(x));
    } else {
      float x;
      std::memcpy(&x, at + i * sizeof x, sizeof x);
      values.push_back(x);
    }
  }
  return values;
}

// |got - want| / |want| over a whole tensor.
double relative_error(const std::vector<double>& got, const std::vector<double>& want) {
  double wrong = 0, all = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    wrong += (got[i] - want[i]) * (got[i] - want[i]);
    all += want[i] * want[i];
  }
  return std::sqrt(wrong / all);
}

// Attention of `lengths` documents; contents per document are named, so that a document can stand
// elsewhere with the same contents.
struct Text {
  std::vector<std::pair<std::string, std::int64_t>> documents;
  DType dtype = DType::bf16;

  std::int64_t tokens() const {
    std::int64_t n = 0;
    for (const auto& [name, length] : documents) n += length;
    return n;
  }
  std::vector<double> tensor(const std::string& what, std::int64_t width) const {
    std::vector<double> all;
    for (const auto& [name, length] : documents) {
      const std::vector<double> part = random(name + what, length * width, dtype);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  std::vector<double> starts() const {
    std::vector<double> start;
    for (const auto& [name, length] : documents)
      start.insert(start.end(), static_cast<size_t>(length), static_cast<double>(start.size()));
    return start;
  }
};

struct Result {
  std::vector<std::byte> out, lse, dq, dk, dv;
};

Result forward_and_backward(const Text& text, const AttentionOptions& options) {
  const std::int64_t n = text.tokens();
  const ValueType q{text.dtype, {n, kQueryWidth}}, kv{text.dtype, {n, kKeyWidth}};
  const ValueType start{DType::i32, {n}}, lse{DType::f32, {n, options.heads}};
  const auto query = text.tensor("q", kQueryWidth), key = text.tensor("k", kKeyWidth),
             value = text.tensor("v", kKeyWidth), dout = text.tensor("d", kQueryWidth);
  const NodeCase forward = make(attention_op(), to_attrs(options), {q, kv, kv, start},
                                {query, key, value, text.starts()});
  LaunchResult first = run(forward);
  EXPECT_EQ(first.failure, "");
  const NodeCase backward =
      make(attention_grad_op(), to_attrs(options), {q, q, kv, kv, q, lse, start},
           {dout, query, key, value, numbers(forward, first, 0), numbers(forward, first, 1),
            text.starts()});
  LaunchResult second = run(backward);
  EXPECT_EQ(second.failure, "");
  return {first.outputs[0], first.outputs[1], second.outputs[0], second.outputs[1],
          second.outputs[2]};
}

std::vector<std::byte> tail(const std::vector<std::byte>& all, size_t bytes) {
  return {all.end() - static_cast<std::ptrdiff_t>(bytes), all.end()};
}

// A document behind others on the grid of blocks gives the bits it gives alone: every block of keys
// that the mask excludes was skipped without a trace.
TEST(Attention, DocumentsDoNotTouchEachOther) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (std::int64_t window : {0, 50}) {
      AttentionOptions options = kOptions;
      options.window = window;
      const Result alone = forward_and_backward({{{"a", 130}}, dtype}, options);
      const Result packed =
          forward_and_backward({{{"b", 100}, {"c", 1}, {"d", 27}, {"a", 130}}, dtype}, options);
      EXPECT_EQ(tail(packed.out, alone.out.size()), alone.out);
      EXPECT_EQ(tail(packed.lse, alone.lse.size()), alone.lse);
      EXPECT_EQ(tail(packed.dq, alone.dq.size()), alone.dq);
      EXPECT_EQ(tail(packed.dk, alone.dk.size()), alone.dk);
      EXPECT_EQ(tail(packed.dv, alone.dv.size()), alone.dv);
    }
}

NodeCase forward_of(const Text& text, std::int64_t tokens) {
  const auto first = [&](const std::string& what, std::int64_t width) {
    std::vector<double> values = text.tensor(what, width);
    values.resize(static_cast<size_t>(tokens * width));
    return values;
  };
  std::vector<double> start = text.starts();
  start.resize(static_cast<size_t>(tokens));
  const ValueType q{text.dtype, {tokens, kQueryWidth}}, kv{text.dtype, {tokens, kKeyWidth}};
  return make(attention_op(), to_attrs(kOptions), {q, kv, kv, {DType::i32, {tokens}}},
              {first("q", kQueryWidth), first("k", kKeyWidth), first("v", kKeyWidth), start});
}

// How many queries share blocks of keys goes by the length of the row; what they get does not.
TEST(Attention, TokensBehindDoNotMatter) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Text text{{{"a", 300}, {"b", 4900}}, dtype};
    const LaunchResult all = run(forward_of(text, 5200)), some = run(forward_of(text, 1000));
    ASSERT_EQ(all.failure + some.failure, "");
    for (size_t i = 0; i < 2; ++i) {
      const auto& bytes = some.outputs[i];
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), all.outputs[i].begin())) << i;
    }
  }
}

// Off the grid the sums are grouped otherwise, but what stands in another document never matters.
TEST(Attention, ContentsOfOtherDocumentsDoNotMatter) {
  const Result one = forward_and_backward({{{"b", 77}, {"a", 90}}}, kOptions);
  const Result other = forward_and_backward({{{"c", 77}, {"a", 90}}}, kOptions);
  const size_t query_bytes = 90 * kQueryWidth * 2, key_bytes = 90 * kKeyWidth * 2;
  EXPECT_NE(one.out, other.out);
  EXPECT_EQ(tail(one.out, query_bytes), tail(other.out, query_bytes));
  EXPECT_EQ(tail(one.dq, query_bytes), tail(other.dq, query_bytes));
  EXPECT_EQ(tail(one.dk, key_bytes), tail(other.dk, key_bytes));
  EXPECT_EQ(tail(one.dv, key_bytes), tail(other.dv, key_bytes));
}

// `text` with the keys of tokens from `first` on, every second of them, many times as large: scores
// rise by hundreds of powers of two on the way.
NodeCase with_loud_keys(const Text& text, std::int64_t first) {
  const std::int64_t n = text.tokens();
  const ValueType q{text.dtype, {n, kQueryWidth}}, kv{text.dtype, {n, kKeyWidth}};
  auto key = text.tensor("k", kKeyWidth);
  for (std::int64_t token = first; token < n; token += 2)
    for (std::int64_t i = 0; i < kKeyWidth; ++i)
      key[static_cast<size_t>(token * kKeyWidth + i)] *= 256;
  return make(attention_op(), to_attrs(kOptions), {q, kv, kv, {DType::i32, {n}}},
              {text.tensor("q", kQueryWidth), key, text.tensor("v", kKeyWidth), text.starts()});
}

TEST(Attention, ScoresThatRiseFarAboveThoseBefore) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (std::int64_t first : {0, 70, 100, 199}) {
      const NodeCase node = with_loud_keys({{{"a", 200}}, dtype}, first);
      const auto want = testing::run_reference(node);
      const LaunchResult got = run(node);
      ASSERT_EQ(got.failure, "");
      const double bound = dtype == DType::bf16 ? 2.0 / 256 : 4e-6;
      EXPECT_LT(relative_error(numbers(node, got, 0), want[0]), bound) << first;
      EXPECT_LT(relative_error(numbers(node, got, 1), want[1]), 4e-6) << first;
    }
}

// Queries share blocks, but what one of them is never changes a bit of another's result.
TEST(Attention, QueriesDoNotTouchEachOther) {
  const Text text{{{"a", 200}}, DType::f32};
  const NodeCase quiet = with_loud_keys(text, text.tokens());
  NodeCase loud = quiet;
  const auto is_loud = [](std::int64_t token) { return token % 64 > 50; };
  for (std::int64_t token = 0; token < text.tokens(); ++token)
    for (std::int64_t i = 0; is_loud(token) && i < kQueryWidth; ++i)
      loud.values[0][static_cast<size_t>(token * kQueryWidth + i)] *= 256;
  const std::vector<double> one = numbers(quiet, run(quiet), 0),
                            other = numbers(loud, run(loud), 0);
  for (std::int64_t token = 0; token < text.tokens(); ++token) {
    const auto at = [&](const std::vector<double>& all) {
      const auto begin = all.begin() + token * kQueryWidth;
      return std::vector<double>(begin, begin + kQueryWidth);
    };
    EXPECT_EQ(at(one) == at(other), token == 0 || !is_loud(token)) << token;
  }
}

TEST(Attention, GradientTakesTheCotangentOfTheLogSum) {
  constexpr std::int64_t kTokens = 75;
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Text text{{{"a", kTokens}}, dtype};
    const ValueType q{dtype, {kTokens, kQueryWidth}}, kv{dtype, {kTokens, kKeyWidth}};
    const ValueType start{DType::i32, {kTokens}}, lse{DType::f32, {kTokens, kOptions.heads}};
    const Attrs attrs = to_attrs(kOptions);
    const auto query = text.tensor("q", kQueryWidth), key = text.tensor("k", kKeyWidth),
               value = text.tensor("v", kKeyWidth), dout = text.tensor("d", kQueryWidth);
    const auto saved = testing::run_reference(
        make(attention_op(), attrs, {q, kv, kv, start}, {query, key, value, text.starts()}));
    const auto dlse = random("dlse", kTokens * kOptions.heads, DType::f32);
    const NodeCase node = make(attention_grad_op(), attrs, {q, q, kv, kv, q, lse, start, lse},
                               {dout, query, key, value, saved[0], saved[1], text.starts(), dlse});
    const auto want = testing::run_reference(node);
    const LaunchResult got = run(node);
    ASSERT_EQ(got.failure, "");
    // bf16: an element is rounded twice on its way, by at most half an epsilon each time.
    const double bound = dtype == DType::bf16 ? 2.0 / 256 : 4e-6;
    for (size_t i = 0; i < want.size(); ++i)
      EXPECT_LT(relative_error(numbers(node, got, i), want[i]), bound) << "output " << i;
  }
}

TEST(Attention, RefusesDocumentsThatLeaveTheirRow) {
  AttentionOptions options = kOptions;
  options.row_length = 2;
  const ValueType q{DType::f32, {4, kQueryWidth}}, kv{DType::f32, {4, kKeyWidth}};
  const std::vector<double> query(4 * kQueryWidth, 0.0), key(4 * kKeyWidth, 0.0);
  auto failure = [&](std::vector<double> start) {
    return run(make(attention_op(), to_attrs(options), {q, kv, kv, {DType::i32, {4}}},
                    {query, key, key, std::move(start)}))
        .failure;
  };
  EXPECT_EQ(failure({0, 0, 2, 3}), "");
  for (const std::vector<double>& start :
       {std::vector<double>{0, 0, 1, 2}, {0, 2, 2, 2}, {-1, 0, 2, 2}, {0, 0, 2, 2147483647}})
    EXPECT_EQ(failure(start),
              "[attention] document_start leaves its row or lies ahead of its token");
}

Attrs cache_attrs(std::int64_t capacity) {
  Attrs attrs = to_attrs(kOptions);
  attrs.set("capacity", capacity);
  attrs.set("accumulate", std::int64_t{1});
  return attrs;
}

// One call on tokens [begin, end) of a text; `caches` are what the buffers hold, before and after.
std::vector<double> extend(const Text& text, std::int64_t begin, std::int64_t end,
                           std::int64_t capacity, std::vector<std::vector<double>>& caches) {
  const std::int64_t n = end - begin;
  auto part = [&](const char* what, std::int64_t width) {
    const std::vector<double> all = text.tensor(what, width);
    return std::vector<double>(all.begin() + begin * width, all.begin() + end * width);
  };
  const ValueType q{text.dtype, {n, kQueryWidth}}, kv{text.dtype, {n, kKeyWidth}};
  NodeCase node = make(cached_attention_op(), cache_attrs(capacity), {q, kv, kv, {DType::i32, {1}}},
                       {part("q", kQueryWidth),
                        part("k", kKeyWidth),
                        part("v", kKeyWidth),
                        {static_cast<double>(begin)}});
  node.old[1] = caches[0];
  node.old[2] = caches[1];
  const LaunchResult got = run(node);
  EXPECT_EQ(got.failure, "");
  caches = {numbers(node, got, 1), numbers(node, got, 2)};
  return numbers(node, got, 0);
}

// Prompt, second prompt, then token by token: what attention gives for the whole text. The caches
// hold NaN where nothing was written, as fresh memory may.
TEST(CachedAttention, GenerationAgreesWithTheWholeText) {
  constexpr std::int64_t kTokens = 150, kCapacity = 160;
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Text text{{{"a", kTokens}}, dtype};
    const ValueType q{dtype, {kTokens, kQueryWidth}}, kv{dtype, {kTokens, kKeyWidth}};
    const auto want = testing::run_reference(
        make(attention_op(), to_attrs(kOptions), {q, kv, kv, {DType::i32, {kTokens}}},
             {text.tensor("q", kQueryWidth), text.tensor("k", kKeyWidth),
              text.tensor("v", kKeyWidth), text.starts()}))[0];
    const std::vector<double> fresh(kCapacity * kKeyWidth,
                                    std::numeric_limits<double>::quiet_NaN());
    std::vector<std::vector<double>> caches = {fresh, fresh};
    std::vector<double> got;
    for (auto [begin, end] : {std::pair{0, 70}, {70, 101}, {101, 104}})
      for (double x : extend(text, begin, end, kCapacity, caches)) got.push_back(x);
    for (std::int64_t i = 104; i < kTokens; ++i)
      for (double x : extend(text, i, i + 1, kCapacity, caches)) got.push_back(x);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_LT(relative_error(got, want), dtype == DType::bf16 ? 2.0 / 256 : 4e-6);
    const std::vector<double> keys = text.tensor("k", kKeyWidth);
    EXPECT_TRUE(std::equal(keys.begin(), keys.end(), caches[0].begin()));
    EXPECT_TRUE(std::isnan(caches[1].back()));
  }
}

TEST(CachedAttention, RefusesAFullCache) {
  for (std::int64_t tokens : {1, 40}) {
    const ValueType q{DType::f32, {tokens, kQueryWidth}}, kv{DType::f32, {tokens, kKeyWidth}};
    const std::vector<double> query(static_cast<size_t>(tokens * kQueryWidth), 0.0),
        key(static_cast<size_t>(tokens * kKeyWidth), 0.0);
    auto failure = [&](std::int64_t past) {
      return run(make(cached_attention_op(), cache_attrs(50), {q, kv, kv, {DType::i32, {1}}},
                      {query, key, key, {static_cast<double>(past)}}))
          .failure;
    };
    EXPECT_EQ(failure(50 - tokens), "");
    for (std::int64_t past : {51 - tokens, std::int64_t{INT32_MAX}})
      EXPECT_EQ(failure(past),
                "[cached_attention] the cache is full: past + tokens exceed its capacity");
    for (std::int64_t past : {std::int64_t{-1}, std::int64_t{INT32_MIN}})
      EXPECT_EQ(failure(past), "[cached_attention] past is negative");
  }
}

}  // namespace
}  // namespace outsize
