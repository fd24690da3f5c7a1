// The frame every decoder-only language model shares: positions, embedding, blocks, head; as a
// program for training, evaluation or generation. Families fill in the parts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/program.h"
#include "nn/segment_builder.h"

namespace outsize {

struct DecoderParts {
  std::int64_t width = 0;       // D
  std::int64_t vocabulary = 0;  // V: rows of the head
  // Rotary tables that blocks read as rope_table(i, head_dim): frequencies of K/2 angles each.
  std::vector<std::vector<double>> rope_frequencies;
  double rope_scale = 1.0;
  // Layers of one kind share a compiled segment.
  std::vector<int> layer_kinds;
  std::string layer_prefix;  // "model.layers." : layer i's parameters are "<prefix>i.<name>"
  std::string head_weight;   // parameter [V,D]; the embedding's name when tied

  std::function<ValueId(SegmentBuilder&)> embed;                       // -> x [N,D]
  std::function<ValueId(SegmentBuilder&, int kind, ValueId x)> block;  // -> x [N,D]
  std::function<ValueId(SegmentBuilder&, ValueId x)> final_norm;       // rows of x -> same shape
};

// Program values. training, evaluation: batch tokens, positions, document_start, targets; result
// loss (f64[1], sum of nats over targets). generation: batch tokens, positions, past, rows; state
// cache_k.i, cache_v.i; result logits (f32 [logit_rows, V]).
Program assemble_decoder(const DecoderParts& parts, const BuildOptions& options);

}  // namespace outsize
