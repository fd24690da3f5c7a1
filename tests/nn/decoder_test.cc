// The decoder's frame: which values and parameters a program has in each mode, and what its calls
// share. A made-up family of one linear layer per block stands for the rest.
#include "nn/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "ops/add/add.h"

namespace outsize {
namespace {

using ::testing::ElementsAre;
using Mode = BuildOptions::Mode;
using Role = ProgramValue::Role;

constexpr std::int64_t kWidth = 8, kVocabulary = 11, kHeadDim = 4;

// Kinds index the rotary table that a block reads.
DecoderParts parts_of(std::vector<int> kinds, bool tied) {
  DecoderParts parts;
  parts.width = kWidth;
  parts.vocabulary = kVocabulary;
  parts.rope_frequencies = {{1.0, 0.1}, {1.0, 0.01}};
  parts.layer_kinds = std::move(kinds);
  parts.layer_prefix = "layers.";
  parts.head_weight = tied ? "embed.weight" : "head.weight";
  parts.embed = [](SegmentBuilder& b) {
    return b.embed_tokens("embed.weight", kVocabulary, kWidth);
  };
  parts.block = [](SegmentBuilder& b, int kind, ValueId x) {
    const ValueId h = b.rms_norm("norm", x, 1e-6);
    const ValueId q = b.rope(b.linear("q", h, kWidth, false), kind, kHeadDim);
    const ValueId k = b.rope(b.linear("k", h, kWidth, true), kind, kHeadDim);
    const AttentionOptions options{.heads = 2, .kv_heads = 2, .head_dim = kHeadDim, .scale = 0.5};
    return add(b.graph(), x, b.attend(q, k, b.linear("v", h, kWidth, false), options));
  };
  parts.final_norm = [](SegmentBuilder& b, ValueId x) { return b.rms_norm("last", x, 1e-6); };
  return parts;
}

BuildOptions options_of(Mode mode) {
  BuildOptions options{.mode = mode, .tokens = 12, .row_length = 6};
  if (mode == Mode::generation) {
    options.cache_capacity = 20;
    options.logit_rows = 2;
  }
  return options;
}

std::vector<std::string> names_with(const Program& program, Role role) {
  std::vector<std::string> names;
  for (const ProgramValue& value : program.values)
    if (value.role == role) names.push_back(value.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> call_names(const Program& program) {
  std::vector<std::string> names;
  for (const Call& call : program.calls) names.push_back(call.name);
  return names;
}

TEST(Decoder, TrainingReadsABatchAndGivesALoss) {
  const Program program = assemble_decoder(parts_of({0, 1, 0}, false), options_of(Mode::training));
  EXPECT_THAT(names_with(program, Role::batch),
              ElementsAre("document_start", "positions", "targets", "tokens"));
  EXPECT_THAT(names_with(program, Role::result), ElementsAre("loss"));
  EXPECT_TRUE(names_with(program, Role::state).empty());
  const ProgramValue& loss = program.values[static_cast<size_t>(program.find_value("loss"))];
  EXPECT_EQ(loss.type.dtype, DType::f64);
  EXPECT_EQ(loss.type.shape.numel(), 1);
  verify(program);
}

TEST(Decoder, EvaluationIsTheSameForward) {
  const Program training = assemble_decoder(parts_of({0, 1}, true), options_of(Mode::training)),
                evaluation = assemble_decoder(parts_of({0, 1}, true), options_of(Mode::evaluation));
  ASSERT_EQ(training.segments.size(), evaluation.segments.size());
  for (size_t s = 0; s < training.segments.size(); ++s)
    EXPECT_EQ(to_string(training.segments[s].graph), to_string(evaluation.segments[s].graph));
  EXPECT_EQ(call_names(training), call_names(evaluation));
}

TEST(Decoder, GenerationKeepsACachePerLayer) {
  const Program program = assemble_decoder(parts_of({0, 0}, true), options_of(Mode::generation));
  EXPECT_THAT(names_with(program, Role::batch), ElementsAre("past", "positions", "rows", "tokens"));
  EXPECT_THAT(names_with(program, Role::state),
              ElementsAre("cache_k.0", "cache_k.1", "cache_v.0", "cache_v.1"));
  const ProgramValue& cache = program.values[static_cast<size_t>(program.find_value("cache_k.1"))];
  EXPECT_EQ(cache.type.shape, (Shape{20, kWidth}));
  const ProgramValue& logits = program.values[static_cast<size_t>(program.find_value("logits"))];
  EXPECT_EQ(logits.type.shape, (Shape{2, kVocabulary}));
  EXPECT_EQ(logits.type.dtype, DType::f32);
}

TEST(Decoder, RowsThatAreGivenNeedNoTable) {
  BuildOptions options = options_of(Mode::generation);
  options.rows_given = true;
  for (const bool tied : {false, true}) {
    const Program program = assemble_decoder(parts_of({0, 0}, tied), options);
    EXPECT_THAT(names_with(program, Role::batch),
                ElementsAre("past", "positions", "rows", "token_rows", "tokens"));
    const int rows = program.find_value("token_rows");
    EXPECT_EQ(program.values[static_cast<size_t>(rows)].type.shape, (Shape{12, kWidth}));
    EXPECT_TRUE(program.calls.front().parameters.empty());
    EXPECT_EQ(program.find_parameter("embed.weight") >= 0, tied) << "the head's";
  }
}

TEST(Decoder, NamesParametersByLayerAndDecaysMatricesAlone) {
  const Program program = assemble_decoder(parts_of({0, 0}, false), options_of(Mode::training));
  std::vector<std::string> names, decaying;
  for (const ProgramParameter& parameter : program.parameters) {
    names.push_back(parameter.name);
    if (parameter.decay) decaying.push_back(parameter.name);
  }
  EXPECT_THAT(names,
              ElementsAre("embed.weight", "layers.0.norm.weight", "layers.0.q.weight",
                          "layers.0.k.weight", "layers.0.k.bias", "layers.0.v.weight",
                          "layers.1.norm.weight", "layers.1.q.weight", "layers.1.k.weight",
                          "layers.1.k.bias", "layers.1.v.weight", "last.weight", "head.weight"));
  EXPECT_EQ(decaying.size(), 8u);
  for (const std::string& name : decaying)
    EXPECT_TRUE(name.find("norm") == std::string::npos && name.find("bias") == std::string::npos);
}

TEST(Decoder, ATiedHeadIsTheEmbedding) {
  const Program tied = assemble_decoder(parts_of({0}, true), options_of(Mode::training)),
                apart = assemble_decoder(parts_of({0}, false), options_of(Mode::training));
  EXPECT_EQ(tied.parameters.size() + 1, apart.parameters.size());
  EXPECT_EQ(tied.find_parameter("head.weight"), -1);
  const int embed = tied.find_parameter("embed.weight");
  int users = 0;
  for (const Call& call : tied.calls)
    users += std::count(call.parameters.begin(), call.parameters.end(), embed);
  EXPECT_EQ(users, 2);
}

TEST(Decoder, LayersOfOneKindShareASegment) {
  const Program program =
      assemble_decoder(parts_of({0, 1, 0, 0, 1}, true), options_of(Mode::training));
  // Embedding, two rotary tables, two kinds of block, head.
  EXPECT_EQ(program.segments.size(), 6u);
  EXPECT_THAT(call_names(program), ElementsAre("embed", "positions.0", "block.0", "positions.1",
                                               "block.1", "block.2", "block.3", "block.4", "head"));
}

TEST(Decoder, MakesOnlyTheRotaryTablesThatAreRead) {
  for (int kind : {0, 1}) {
    const Program program =
        assemble_decoder(parts_of({kind, kind}, true), options_of(Mode::training));
    EXPECT_THAT(call_names(program), ElementsAre("embed", "positions." + std::to_string(kind),
                                                 "block.0", "block.1", "head"));
  }
}

TEST(Decoder, NarrowsMatricesAndActivationsAlone) {
  BuildOptions options = options_of(Mode::training);
  options.dtype = DType::bf16;
  const Program program = assemble_decoder(parts_of({0}, false), options);
  for (const ProgramParameter& parameter : program.parameters)
    EXPECT_EQ(parameter.type.dtype, parameter.type.shape.ndim() == 2 ? DType::bf16 : DType::f32)
        << parameter.name;
  for (const ProgramValue& value : program.values) {
    const bool is_stream = value.name.starts_with("x."), is_table = value.name.starts_with("rope.");
    if (is_stream || is_table) {
      EXPECT_EQ(value.type.dtype, is_stream ? DType::bf16 : DType::f32);
    }
  }
}

TEST(SegmentBuilder, MakesAnInputOnce) {
  SegmentBuilder builder(options_of(Mode::training));
  EXPECT_EQ(builder.tokens(), builder.tokens());
  EXPECT_EQ(builder.rope_table(1, kHeadDim), builder.rope_table(1, kHeadDim));
  EXPECT_NE(builder.rope_table(0, kHeadDim), builder.rope_table(1, kHeadDim));
  EXPECT_NE(builder.positions(), builder.document_start());
  EXPECT_EQ(builder.graph().inputs().size(), 5u);
}

TEST(SegmentBuilder, RefusesShapesThatDoNotFit) {
  SegmentBuilder builder(options_of(Mode::training));
  const ValueId x = builder.x(kWidth);
  const AttentionOptions options{.heads = 3, .kv_heads = 2, .head_dim = 4, .scale = 1};
  EXPECT_THROW(builder.attend(x, x, x, options), Error);
  EXPECT_THROW(builder.rope(x, 0, 3), Error);
}

}  // namespace
}  // namespace outsize
