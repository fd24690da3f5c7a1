// Builds one segment: names its parameters and inputs as it goes, so that a family reads as text.
// Legend: N tokens, D width, H query heads, G kv heads, K head_dim, F feed-forward width, V
// vocabulary.
#pragma once

#include <string>

#include "nn/build_options.h"
#include "ops/activation/activation.h"
#include "ops/attention/attention.h"

namespace outsize {

class SegmentBuilder {
 public:
  explicit SegmentBuilder(const BuildOptions& options) : options_(options) {}

  Graph& graph() { return graph_; }
  const BuildOptions& options() const { return options_; }

  // Parameters. Names are relative to the call's prefix ("model.layers.3.").
  ValueId matrix(const std::string& name, std::int64_t out,
                 std::int64_t in);                             // options().dtype, decays
  ValueId vector(const std::string& name, std::int64_t size);  // f32, no decay

  // Inputs shared by calls: created on first use; the program finds its values by these names.
  ValueId x(std::int64_t width);                         // [N,D], the residual stream coming in
  ValueId tokens();                                      // i32 [N]
  ValueId positions();                                   // i32 [N]
  ValueId document_start();                              // i32 [N]
  ValueId targets();                                     // i32 [N]
  ValueId past();                                        // i32 [1]: tokens already in the cache
  ValueId rows();                                        // i32 [options().logit_rows]
  ValueId rope_table(int table, std::int64_t head_dim);  // f32 [N,K]

  // Layers.
  // Rows of the table `name` [V,D] for the tokens, times scale -> [N,D].
  ValueId embed_tokens(const std::string& name, std::int64_t vocabulary, std::int64_t width,
                       double scale = 1.0);
  // y = x·Wᵀ (+ b); parameters `name`.weight [out,in] and, with bias, `name`.bias [out].
  ValueId linear(const std::string& name, ValueId x, std::int64_t out, bool bias);
  // Parameter `name`.weight; `unit_offset` multiplies by 1 + weight (Gemma). `group` is the width
  // normalised at once: 0 for all of x, head_dim for q/k norms.
  ValueId rms_norm(const std::string& name, ValueId x, double eps, bool unit_offset = false,
                   std::int64_t group = 0);
  // Parameters `name`.weight and `name`.bias.
  ValueId layer_norm(const std::string& name, ValueId x, double eps);
  ValueId rope(ValueId x, int table, std::int64_t head_dim);
  // Causal attention, over documents or over the cache as the mode asks.
  ValueId attend(ValueId q, ValueId k, ValueId v, AttentionOptions options);
  // down(f(gate(x)) · up(x)); parameters gate, up [F,D] and down [D,F] under these names.
  ValueId gated_mlp(const std::string& gate, const std::string& up, const std::string& down,
                    ValueId x, std::int64_t width, ActivationKind kind, bool bias);

 private:
  ValueId input(const std::string& name, DType dtype, Shape shape);

  BuildOptions options_;
  Graph graph_;
};

}  // namespace outsize
