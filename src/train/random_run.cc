#include "train/random_run.h"

#include "core/error.h"
#include "core/rng.h"
#include "models/model.h"

namespace outsize {

RandomRun::RandomRun(const RandomRunOptions& options)
    : options_(options), dtype_(parse_dtype(options.dtype)), model_(open_model(options.config)) {
  const std::int64_t rows = options.microbatch > 0
                                ? options.microbatch
                                : default_microbatch(options.length, options.batch);
  if (rows < 1 || options.batch % rows != 0)
    fail(ErrorKind::InvalidArgument,
         "[bench] microbatch does not divide batch; got {}; expected a divisor of {}", rows,
         options.batch);
  const int accumulation = static_cast<int>(options.batch / rows);
  engine_ = std::make_unique<TrainingEngine>(
      *model_, TrainingShape{rows, options.length, accumulation, dtype_, false},
      OptimizerOptions{.name = options.optimizer}, 0);
  engine_->allocate();
  engine_->randomise(1);
  for (int m = 0; m < accumulation; ++m)
    batches_.push_back(random_batch(rows, static_cast<std::uint64_t>(m)));
  for (const Batch& batch : batches_) targets_ += batch.target_tokens;
}

Batch RandomRun::random_batch(std::int64_t rows, std::uint64_t stream) const {
  const Rng rng(1, stream);
  const auto vocabulary = static_cast<std::uint64_t>(model_->info().vocabulary);
  Batch batch;
  for (std::int64_t i = 0; i < rows * options_.length; ++i) {
    const std::int64_t row_start = i / options_.length * options_.length;
    const auto counter = static_cast<std::uint64_t>(i);
    constexpr std::uint64_t kTargets = 1ull << 40;  // apart from the tokens' draws
    batch.tokens.push_back(static_cast<std::int32_t>(rng.below(counter, vocabulary)));
    batch.positions.push_back(static_cast<std::int32_t>(i - row_start));
    batch.document_start.push_back(static_cast<std::int32_t>(row_start));
    const bool has_target = i % options_.target_every == 0;
    batch.targets.push_back(
        has_target ? static_cast<std::int32_t>(rng.below(counter + kTargets, vocabulary)) : -1);
    batch.target_tokens += has_target;
  }
  batch.real_tokens = rows * options_.length;
  return batch;
}

double RandomRun::step() {
  return engine_->step(batches_, targets_, {.step = ++steps_, .lr = 1e-4, .clip = 1.0});
}

}  // namespace outsize
