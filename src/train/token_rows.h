// Rows of the embedding from where the model itself lies. A token needs one of them, and a table on
// disk would be read whole for it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "models/model.h"
#include "weights/weight_reader.h"

namespace outsize {

class TokenRows {
 public:
  // Rows come in `dtype`, with the bits that load_weights would give them.
  TokenRows(const Model& model, DType dtype, std::shared_ptr<const WeightReader> reader);

  // Writes [tokens, width]. Ids are in range. Throws as WeightReader::read.
  void read(std::span<const std::int32_t> tokens, void* rows);

 private:
  std::shared_ptr<const WeightReader> reader_;
  WeightSource source_;
  Shape shape_;
  DType dtype_;
  std::vector<float> row_;
};

}  // namespace outsize
