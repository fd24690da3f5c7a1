// One microbatch as the engine takes it. Legend: N = microbatch rows × sequence_length, flattened.
// Documents are packed into rows; no document crosses a row, so document_start also separates rows.
#pragma once

#include <cstdint>
#include <vector>

namespace outsize {

struct Batch {
  std::vector<std::int32_t> tokens;          // [N] token ids; padding is id 0
  std::vector<std::int32_t> positions;       // [N] position within the document, from 0
  std::vector<std::int32_t> document_start;  // [N] flat index of the first token of this token's
                                             // document; padding is a document of its own (= i)
  std::vector<std::int32_t> targets;         // [N] id to predict at this position, or -1 for none
  std::int64_t target_tokens = 0;            // positions with a target
  std::int64_t real_tokens = 0;              // positions that are not padding
};

}  // namespace outsize
