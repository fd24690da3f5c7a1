// What a program is built for. Part of the run's arithmetic: shapes follow from these alone.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace outsize {

struct BuildOptions {
  enum class Mode {
    training,    // loss over packed documents, to be differentiated
    evaluation,  // the same forward, alone
    generation,  // tokens appended to a key/value cache; logits for chosen rows
  };
  Mode mode = Mode::training;
  std::int64_t tokens = 0;          // N: of one microbatch, or of one generation chunk
  std::int64_t row_length = 0;      // tokens per packed row; divides `tokens`
  DType dtype = DType::f32;         // of matrices and activations: f32 or bf16
  std::int64_t cache_capacity = 0;  // generation: tokens the cache holds
  std::int64_t logit_rows = 0;      // generation: rows whose logits are wanted
  // generation: the host looks up the embedding's rows, batch value token_rows [N,D], and numbers
  // them in `tokens`; the program reads no table for them.
  bool rows_given = false;
};

}  // namespace outsize
