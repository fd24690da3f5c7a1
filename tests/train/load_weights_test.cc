// Loading: stored bf16 and converted values end in the same bits, whatever lay there before.
#include "train/load_weights.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/half.h"
#include "models/model.h"
#include "train/tiny.h"
#include "weights/export.h"

namespace outsize::train_test {
namespace {

// Small numbers that bf16 holds exactly.
float value_of(const std::string& parameter, std::int64_t at) {
  return static_cast<float>((at * 7 + static_cast<std::int64_t>(parameter.size())) % 255 - 127) /
         128.0f;
}

class Exact : public WeightReader {
 public:
  explicit Exact(bool as_stored) : as_stored_(as_stored) {}
  void check(const WeightSource&, const Shape&) const override {}
  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    const std::int64_t columns = column_count(shape);
    for (std::int64_t i = 0; i < rows * columns; ++i)
      destination[i] = value_of(source.parameter, first_row * columns + i);
  }
  bool read_bf16(const WeightSource& source, const Shape& shape, bf16* destination) const override {
    if (!as_stored_) return false;
    for (std::int64_t i = 0; i < shape.numel(); ++i)
      destination[i] = to_bf16(value_of(source.parameter, i));
    ++count;
    return true;
  }
  mutable int count = 0;

 private:
  bool as_stored_;
};

struct Loaded {
  Loaded(const Model& model, const WeightReader& reader, bool with_low, int filler)
      : program(model.program({.mode = BuildOptions::Mode::evaluation,
                               .tokens = 8,
                               .row_length = 8,
                               .dtype = DType::bf16})) {
    for (const ProgramParameter& parameter : program.parameters) {
      weights.emplace_back(static_cast<size_t>(parameter.type.bytes()), static_cast<char>(filler));
      low.emplace_back(static_cast<size_t>(parameter.type.shape.numel()),
                       static_cast<std::int16_t>(filler));
    }
    load_weights(program, model, reader, [&](int p) {
      const auto i = static_cast<size_t>(p);
      const bool has_low = with_low && program.parameters[i].type.dtype == DType::bf16;
      return MasterMemory{weights[i].data(), has_low ? low[i].data() : nullptr};
    });
  }
  Program program;
  std::vector<std::vector<char>> weights;
  std::vector<std::vector<std::int16_t>> low;
};

TEST(LoadWeights, StoredAndConvertedEndInTheSameBits) {
  const auto model = tiny_model("qwen2");
  const Exact stored(true), converted(false);
  for (const bool with_low : {true, false}) {
    const Loaded one(*model, stored, with_low, 0), other(*model, converted, with_low, 0);
    EXPECT_EQ(one.weights, other.weights);
    EXPECT_EQ(one.low, other.low);
  }
  EXPECT_GT(stored.count, 0);
}

TEST(LoadWeights, NothingRemainsOfAnEarlierMaster) {
  const auto model = tiny_model("llama");
  const Exact stored(true);
  const Loaded fresh(*model, stored, true, 0), used(*model, stored, true, 77);
  EXPECT_EQ(fresh.weights, used.weights);
  for (size_t p = 0; p < used.low.size(); ++p) {
    if (used.program.parameters[p].type.dtype != DType::bf16) continue;
    EXPECT_EQ(used.low[p], fresh.low[p]) << used.program.parameters[p].name;
  }
}

}  // namespace
}  // namespace outsize::train_test
