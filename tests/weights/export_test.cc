// Writing and reading weights: every family's tensors come back bit for bit from both formats,
// whole and in pieces; a write that fails leaves what was there.
#include "weights/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "weights/testing.h"

namespace outsize::weights_test {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Model> tiny_model(const std::string& family) {
  if (family == "gpt2")
    return model_from_hf_config({{"model_type", "gpt2"},
                                 {"n_embd", 32},
                                 {"n_layer", 2},
                                 {"n_head", 4},
                                 {"n_inner", 64},
                                 {"n_positions", 17},
                                 {"vocab_size", 37}},
                                "tiny");
  return model_from_hf_config({{"model_type", family},
                               {"hidden_size", 32},
                               {"intermediate_size", 64},
                               {"num_hidden_layers", 2},
                               {"num_attention_heads", 4},
                               {"num_key_value_heads", 2},
                               {"head_dim", 8},
                               {"query_pre_attn_scalar", 8},
                               {"vocab_size", 37},
                               {"max_position_embeddings", 16},
                               {"rms_norm_eps", 1e-6},
                               {"tie_word_embeddings", family != "llama"}},
                              "tiny");
}

class EveryFamily : public ::testing::TestWithParam<const char*> {
 protected:
  void expect_values(const WeightReader& reader, double tolerance, bool norms_rounded = false) {
    std::map<std::string, Shape> shapes;
    for (const ProgramParameter& parameter : parameters_of(*model_, DType::f32))
      shapes[parameter.name] = parameter.type.shape;
    ASSERT_EQ(shapes.size(), model_->weights().size());
    for (const WeightSource& source : model_->weights()) {
      const Shape& shape = shapes.at(source.parameter);
      const std::int64_t rows = row_count(shape), columns = column_count(shape);
      EXPECT_NO_THROW(reader.check(source, shape));
      std::vector<float> values(static_cast<size_t>(rows * columns));
      reader.read(source, shape, 0, rows, values.data());
      const double slack = norms_rounded && source.gguf_offset != 0 ? 1e-6 : tolerance;
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c)
          ASSERT_NEAR(values[static_cast<size_t>(r * columns + c)],
                      value_of(source.parameter, r, c), slack)
              << source.parameter << " row " << r << " column " << c;
      expect_pieces(reader, source, shape, values);
    }
  }

  static void expect_pieces(const WeightReader& reader, const WeightSource& source,
                            const Shape& shape, const std::vector<float>& whole) {
    const std::int64_t columns = column_count(shape);
    std::vector<float> pieces;
    for (std::int64_t first = 0; first < row_count(shape); first += 3) {
      const std::int64_t count = std::min<std::int64_t>(3, row_count(shape) - first);
      std::vector<float> piece(static_cast<size_t>(count * columns));
      reader.read(source, shape, first, count, piece.data());
      pieces.insert(pieces.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(pieces, whole) << source.parameter;
  }

  std::unique_ptr<Model> model_ = tiny_model(GetParam());
  TemporaryFolder folder_;
};

TEST_P(EveryFamily, ComesBackFromAHuggingFaceFolder) {
  write_hf_weights(*model_, NamedReader(), DType::f32, folder_.path());
  expect_values(*open_hf_weights(folder_.path()), 0);
}

TEST_P(EveryFamily, ComesBackNarrowed) {
  write_hf_weights(*model_, NamedReader(), DType::bf16, folder_.path());
  expect_values(*open_hf_weights(folder_.path()), 0.5 / 256);
  write_hf_weights(*model_, NamedReader(), DType::f16, folder_.path());
  expect_values(*open_hf_weights(folder_.path()), 0.5 / 2048);
  EXPECT_THROW(write_hf_weights(*model_, NamedReader(), DType::i32, folder_.path()), Error);
}

TEST_P(EveryFamily, ComesBackFromAGgufFile) {
  const std::string path = folder_.path("model.gguf");
  write_gguf(*model_, NamedReader(), "f32", {}, path);
  expect_values(*open_gguf_weights(path), 0, /*norms_rounded=*/true);
  write_gguf(*model_, NamedReader(), "f16", {}, path);
  expect_values(*open_gguf_weights(path), 0.5 / 2048, true);
  write_gguf(*model_, NamedReader(), "bf16", {}, path);
  expect_values(*open_gguf_weights(path), 0.5 / 256, true);
  write_gguf(*model_, NamedReader(), "q8_0", {}, path);
  expect_values(*open_gguf_weights(path), 0.6 * 0.5 / 127, true);
  EXPECT_THROW(write_gguf(*model_, NamedReader(), "q9", {}, path), Error);
}

TEST_P(EveryFamily, AFailedWriteLeavesTheOldFile) {
  const std::string hf = folder_.path("model.safetensors"), gguf = folder_.path("model.gguf");
  write_hf_weights(*model_, NamedReader(), DType::f32, folder_.path());
  write_gguf(*model_, NamedReader(), "f32", {}, gguf);
  const std::string hf_before = read_file(hf), gguf_before = read_file(gguf);
  NamedReader failing;
  failing.fails_at = model_->weights().back().parameter;
  EXPECT_THROW(write_hf_weights(*model_, failing, DType::bf16, folder_.path()), Error);
  EXPECT_THROW(write_gguf(*model_, failing, "q8_0", {}, gguf), Error);
  EXPECT_TRUE(read_file(hf) == hf_before);
  EXPECT_TRUE(read_file(gguf) == gguf_before);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    names.insert(entry.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"model.safetensors", "model.gguf"}));
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily,
                         ::testing::Values("gpt2", "llama", "qwen2", "gemma3_text"),
                         [](const auto& info) { return std::string(info.param); });

TEST(HfReader, KnowsTheOtherPrefixes) {
  const TemporaryFolder folder;
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  SafetensorsWriter writer(
      folder.path("model.safetensors"),
      {{"wte.weight", DType::f32, {2, 3}}, {"language_model.model.norm.weight", DType::f32, {6}}});
  writer.append(values.data(), 24);
  writer.append(values.data(), 24);
  writer.finish();
  const auto reader = open_hf_weights(folder.path());
  float got[6];
  reader->read({.parameter = "a", .hf_name = "transformer.wte.weight"}, {2, 3}, 0, 2, got);
  EXPECT_EQ(got[5], 6);
  reader->read({.parameter = "b", .hf_name = "model.norm.weight"}, {6}, 2, 2, got);
  EXPECT_EQ(got[0], 3);
  // Stored [in,out]: rows of the parameter are columns of the file.
  const WeightSource turned{.parameter = "c", .hf_name = "wte.weight", .hf_transposed = true};
  reader->read(turned, {3, 2}, 1, 2, got);
  EXPECT_EQ(std::vector<float>(got, got + 4), (std::vector<float>{2, 5, 3, 6}));
  const WeightSource part{
      .parameter = "d", .hf_name = "wte.weight", .first_row = 1, .total_rows = 2};
  reader->read(part, {1, 3}, 0, 1, got);
  EXPECT_EQ(got[0], 4);
  Error error = error_of([&] { reader->check({.parameter = "e", .hf_name = "none"}, {1}); });
  EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
  EXPECT_THAT(error.what(), HasSubstr("'none' is missing"));
  error = error_of([&] { reader->check(turned, {2, 3}); });
  EXPECT_THAT(error.what(), HasSubstr("expected [3,2]"));
}

TEST(InterleavedRow, PutsTheHalvesOfAHeadSideBySide) {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < 12; ++row) rows.push_back(interleaved_row(row, 6));
  EXPECT_THAT(rows, ::testing::ElementsAre(0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11));
}

}  // namespace
}  // namespace outsize::weights_test
