#include "train/generator.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/parts.h"
#include "core/rng.h"
#include "train/engine.h"

namespace outsize {
namespace {

// A chunk reads and packs every weight, which takes as long as so many tokens.
constexpr std::int64_t kChunkTokens = 128;

// Tokens per chunk; with all logits wanted, no more than keep them at 64 MiB.
std::vector<std::int64_t> chunk_sizes(const GeneratorShape& shape, std::int64_t vocabulary) {
  constexpr std::int64_t kLogitsBytes = 64 << 20;
  std::vector<std::int64_t> sizes;
  for (std::int64_t size : {1024, 512, 256, 128, 64, 32, 16, 1})
    if (size == 1 ||
        (size <= shape.context && (!shape.all_logits || size * vocabulary * 4 <= kLogitsBytes)))
      sizes.push_back(size);
  return sizes;
}

// A padded last chunk writes beyond the text; those rows are written again before they are read.
std::vector<Program> chunk_programs(const Model& model, const GeneratorShape& shape,
                                    const std::vector<std::int64_t>& sizes, bool rows_given) {
  check_context(model, shape.context);
  std::vector<Program> programs;
  for (const std::int64_t size : sizes)
    programs.push_back(model.program({.mode = BuildOptions::Mode::generation,
                                      .tokens = size,
                                      .row_length = size,
                                      .dtype = shape.dtype,
                                      .cache_capacity = shape.context + sizes.front(),
                                      .logit_rows = shape.all_logits ? size : 1,
                                      .rows_given = rows_given}));
  return programs;
}

}  // namespace

Generator::Generator(const Model& model, const GeneratorShape& shape, const ForwardOptions& options)
    : model_(model),
      shape_(shape),
      vocabulary_(model.info().vocabulary),
      sizes_(chunk_sizes(shape, vocabulary_)),
      engine_(chunk_programs(model, shape, sizes_, false), options,
              chunk_programs(model, shape, sizes_, true)) {}

bool Generator::looks_up_rows() const {
  return engine_.executor().program().find_value("token_rows") >= 0;
}

void Generator::load(std::shared_ptr<const WeightReader> reader) {
  engine_.load(model_, *reader);
  if (looks_up_rows()) rows_.emplace(model_, shape_.dtype, std::move(reader));
}

size_t Generator::program_for(std::int64_t left) const {
  return next_part(sizes_, kChunkTokens, left);
}

// Those that fill up a chunk are zeros: any token, or the first one's row.
void Generator::write_tokens(size_t program, std::span<const std::int32_t> tokens) {
  Executor& executor = engine_.executor(program);
  auto* ids = static_cast<std::int32_t*>(executor.value(0, "tokens"));
  std::fill_n(ids, sizes_[program], 0);
  if (rows_) {
    rows_->read(tokens, executor.value(0, "token_rows"));
    std::iota(ids, ids + tokens.size(), 0);
  } else {
    std::copy(tokens.begin(), tokens.end(), ids);
  }
}

void Generator::run_chunk(size_t program, std::span<const std::int32_t> tokens, bool is_last) {
  Executor& executor = engine_.executor(program);
  const std::int64_t size = sizes_[program];
  write_tokens(program, tokens);
  if (executor.program().find_value("positions") >= 0) {
    auto* positions = static_cast<std::int32_t*>(executor.value(0, "positions"));
    const std::int64_t last = past_ + static_cast<std::int64_t>(tokens.size()) - 1;
    for (std::int64_t i = 0; i < size; ++i)
      positions[i] = static_cast<std::int32_t>(std::min(past_ + i, last));
  }
  *static_cast<std::int32_t*>(executor.value(0, "past")) = static_cast<std::int32_t>(past_);
  auto* rows = static_cast<std::int32_t*>(executor.value(0, "rows"));
  if (shape_.all_logits)
    std::iota(rows, rows + size, 0);
  else
    rows[0] = static_cast<std::int32_t>(tokens.size()) - 1;
  executor.run({.results = shape_.all_logits || is_last});
}

void Generator::append(std::span<const std::int32_t> tokens, const TakeLogits& take) {
  const auto total = static_cast<std::int64_t>(tokens.size());
  if (past_ + total > shape_.context)
    fail(ErrorKind::InvalidArgument,
         "[generate] the text is longer than the context; got {} tokens; "
         "expected at most {}",
         past_ + total, shape_.context);
  for (std::int32_t id : tokens)
    if (id < 0 || id >= vocabulary_)
      fail(ErrorKind::InvalidArgument, "[generate] no such token; got {}; expected 0 to {}", id,
           vocabulary_ - 1);
  for (std::int64_t first = 0; first < total;) {
    const size_t program = program_for(total - first);
    const std::int64_t count = std::min(sizes_[program], total - first);
    run_chunk(program, tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
              first + count == total);
    past_ += count;
    const auto* logits = static_cast<const float*>(engine_.executor(program).value(0, "logits"));
    if (shape_.all_logits)
      take(first, count, logits);
    else if (first + count == total)
      take(total - 1, 1, logits);
    first += count;
  }
}

std::int32_t sample(std::span<const float> logits, const SamplingOptions& options,
                    std::int64_t position) {
  const auto top = std::max_element(logits.begin(), logits.end());
  if (options.temperature <= 0) return static_cast<std::int32_t>(top - logits.begin());
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  size_t keep = logits.size();
  if (options.top_k > 0) keep = std::min(keep, static_cast<size_t>(options.top_k));
  auto likelier = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep), order.end(),
                    likelier);
  std::vector<double> weights;
  double total = 0;
  for (size_t i = 0; i < keep; ++i) {
    const double distance = static_cast<double>(logits[static_cast<size_t>(order[i])] - *top);
    weights.push_back(std::exp(distance / options.temperature));
    total += weights.back();
  }
  double kept = 0;
  size_t count = 0;
  while (count < keep && (count == 0 || kept < options.top_p * total)) kept += weights[count++];
  constexpr std::uint64_t kStream = 0x73616d706c65;
  double draw = Rng(options.seed, kStream).uniform(static_cast<std::uint64_t>(position)) * kept;
  for (size_t i = 0; i < count; ++i) {
    draw -= weights[i];
    if (draw < 0) return order[i];
  }
  return order[count - 1];
}

}  // namespace outsize
