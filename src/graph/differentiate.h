// Reverse-mode differentiation of a segment graph. Each op's gradient rule names the forward values
// it needs; those become inputs of the backward graph (saved) or are computed again in it
// (recompute).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace outsize {

// How a gradient rule sees its node. Values it returns and takes belong to the backward graph.
class GradContext {
 public:
  virtual ~GradContext() = default;
  virtual const Attrs& attrs() const = 0;
  virtual const ValueType& input_type(int i) const = 0;
  virtual int input_count() const = 0;
  // The forward value of input or output i; asking for it makes it saved or recomputed.
  virtual ValueId input(int i) = 0;
  virtual ValueId output(int i) = 0;
  // Cotangent of output i: same shape and dtype as the output; kNoValue when nothing flows back.
  virtual ValueId cotangent(int i) const = 0;
  // Whether input i leads to a parameter or a differentiable segment input.
  virtual bool needs(int i) const = 0;
  virtual std::vector<ValueId> add_node(const OpDef& op, Attrs attrs,
                                        std::vector<ValueId> inputs) = 0;
  // Adds to the cotangent of input i. For activations: the input's dtype. For parameters: f32, and
  // the value must be an accumulating output of the node that made it.
  virtual void set_cotangent(int i, ValueId value) = 0;
  // States that the backward graph computes output i anew as `value`: where that holds for all
  // outputs of a segment, its forward pass need not run at all in training.
  virtual void set_output_again(int i, ValueId value) = 0;

  ValueId add(const OpDef& op, Attrs attrs, std::vector<ValueId> inputs) {
    return add_node(op, std::move(attrs), std::move(inputs)).front();
  }
};

// What the backward graph takes and gives, in terms of the forward graph.
struct Backward {
  Graph graph;

  struct Saved {
    ValueId forward;   // value of the forward graph: a segment input or a node's result
    ValueId backward;  // input of `graph` that stands for it
  };
  std::vector<Saved> saved;
  struct OutputCotangent {
    int output;     // index into forward outputs
    ValueId value;  // input of `graph`
  };
  std::vector<OutputCotangent> output_cotangents;
  struct InputCotangent {
    ValueId forward;  // input of the forward graph
    ValueId value;    // result of `graph`
  };
  std::vector<InputCotangent> input_cotangents;
  struct ParameterGradient {
    ValueId forward;  // parameter of the forward graph
    ValueId value;    // accumulating output of `node`
    NodeId node;
  };
  // In execution order; a parameter used twice appears twice, and the later one must accumulate.
  std::vector<ParameterGradient> parameter_gradients;
  struct OutputAgain {
    int output;     // index into forward outputs
    ValueId value;  // result of `graph`
  };
  std::vector<OutputAgain> outputs_again;
};

struct DifferentiateOptions {
  // Which forward results may be saved; others are recomputed from what is. Default: all.
  std::function<bool(ValueId)> may_save;
  // Op used to sum two cotangents of one value: (a, b) -> a + b.
  const OpDef* sum = nullptr;
  // Forward inputs whose cotangent is wanted (floating inputs by default).
  std::function<bool(ValueId)> wants_input_cotangent;
  // Forward parameters that are frozen get no gradient.
  std::function<bool(ValueId)> wants_parameter_gradient;
};

Backward differentiate(const Graph& forward, const DifferentiateOptions& options);

}  // namespace outsize
