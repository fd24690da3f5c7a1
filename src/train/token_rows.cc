#include "train/token_rows.h"

#include <algorithm>

#include "core/error.h"
#include "train/load_weights.h"

namespace outsize {

TokenRows::TokenRows(const Model& model, DType dtype, std::shared_ptr<const WeightReader> reader)
    : reader_(std::move(reader)),
      shape_{model.info().vocabulary, model.info().width},
      dtype_(dtype),
      row_(static_cast<size_t>(shape_[1])) {
  const std::string name = model.info().embedding;
  const auto sources = model.weights();
  const auto at = std::find_if(sources.begin(), sources.end(),
                               [&](const WeightSource& s) { return s.parameter == name; });
  ensure(at != sources.end(), "[weights] parameter '{}' has no source", name);
  source_ = *at;
}

void TokenRows::read(std::span<const std::int32_t> tokens, void* rows) {
  std::int64_t first = 0;
  for (const std::int32_t token : tokens) {
    reader_->read(source_, shape_, token, 1, row_.data());
    store_values(dtype_, {rows}, first, row_.data(), shape_[1]);
    first += shape_[1];
  }
}

}  // namespace outsize
