// Block decoders and the Q8_0 encoder against golden files (golden/README.txt says what made them).
#include "formats/gguf_quants.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/half.h"
#include "testing.h"

namespace outsize {
namespace {

using testing_formats::bytes_of;
using testing_formats::expect_error;

// A golden file cut into its two parts.
struct Golden {
  explicit Golden(const std::string& name, std::int64_t first_bytes_per_block) {
    const std::string bytes = bytes_of(OUTSIZE_SOURCE_DIR "/tests/formats/golden/" + name);
    std::uint32_t count = 0;
    std::memcpy(&count, bytes.data(), sizeof count);
    blocks = count;
    const auto cut = 4 + static_cast<std::size_t>(blocks * first_bytes_per_block);
    first = bytes.substr(4, cut - 4);
    second = bytes.substr(cut);
  }
  std::int64_t blocks = 0;
  std::string first;
  std::string second;
};

std::vector<float> floats_in(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

class Decoder : public testing::TestWithParam<std::pair<const char*, GgmlType>> {};

TEST_P(Decoder, GivesTheBitsOfTheReference) {
  const auto [file, id] = GetParam();
  const GgmlTypeInfo& type = info_of(id);
  const Golden golden(file, type.block_bytes);
  const std::vector<float> expected = floats_in(golden.second);
  ASSERT_GE(golden.blocks, 6);
  ASSERT_EQ(static_cast<std::int64_t>(expected.size()), golden.blocks * type.block_elements);
  std::vector<float> got(expected.size());
  dequantise(type.id, golden.first.data(), golden.blocks, got.data());
  for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], expected[i]) << "element " << i;
}

INSTANTIATE_TEST_SUITE_P(
    Golden, Decoder,
    testing::Values(std::pair{"q4_0.bin", GgmlType::q4_0}, std::pair{"q4_1.bin", GgmlType::q4_1},
                    std::pair{"q5_0.bin", GgmlType::q5_0}, std::pair{"q5_1.bin", GgmlType::q5_1},
                    std::pair{"q8_0.bin", GgmlType::q8_0}, std::pair{"q2_k.bin", GgmlType::q2_k},
                    std::pair{"q3_k.bin", GgmlType::q3_k}, std::pair{"q4_k.bin", GgmlType::q4_k},
                    std::pair{"q5_k.bin", GgmlType::q5_k}, std::pair{"q6_k.bin", GgmlType::q6_k}),
    [](const auto& info) {
      std::string name = info.param.first;
      return name.substr(0, name.find('.'));
    });

TEST(GgmlTypes, TableAndDecodersAgree) {
  EXPECT_EQ(find_ggml_type(4), nullptr);
  EXPECT_EQ(find_ggml_type(0xffffffff), nullptr);
  EXPECT_STREQ(find_ggml_type(16)->name, "IQ2_XXS");
  EXPECT_FALSE(can_dequantise(16));
  EXPECT_FALSE(can_dequantise(4));
  EXPECT_TRUE(can_dequantise(static_cast<std::uint32_t>(GgmlType::bf16)));
  float y[256];
  const char block[256] = {};
  expect_error(ErrorKind::Unsupported, "IQ2_XXS", [&] { dequantise(16, block, 1, y); });
  expect_error(ErrorKind::Unsupported, "type 4", [&] { dequantise(4, block, 1, y); });
}

TEST(GgmlTypes, PlainTypesDecode) {
  const f16 half[] = {to_f16(1.5f), to_f16(-0.25f)};
  const bf16 brain[] = {to_bf16(1.5f), to_bf16(-0.25f)};
  const double wide[] = {1.5, -0.25};
  const float plain[] = {1.5f, -0.25f};
  const std::pair<GgmlType, const void*> sources[] = {{GgmlType::f16, half},
                                                      {GgmlType::bf16, brain},
                                                      {GgmlType::f64, wide},
                                                      {GgmlType::f32, plain}};
  for (const auto& [type, source] : sources) {
    float y[2];
    dequantise(static_cast<std::uint32_t>(type), source, 2, y);
    EXPECT_EQ(y[0], 1.5f);
    EXPECT_EQ(y[1], -0.25f);
  }
}

TEST(QuantiseQ8_0, GivesTheBytesOfTheReference) {
  const Golden golden("q8_0_encoded.bin", 32 * sizeof(float));
  const std::vector<float> values = floats_in(golden.first);
  std::string got(static_cast<std::size_t>(golden.blocks) * 34, '\0');
  ASSERT_TRUE(quantise_q8_0(values.data(), golden.blocks, got.data()));
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i], golden.second[i]) << "block " << i / 34 << " byte " << i % 34;
}

TEST(QuantiseQ8_0, DecodesToWithinHalfAStep) {
  float values[32];
  for (int i = 0; i < 32; ++i) values[i] = std::sin(static_cast<float>(i * i)) * 3.0f;
  char block[34];
  ASSERT_TRUE(quantise_q8_0(values, 1, block));
  float back[32];
  dequantise(static_cast<std::uint32_t>(GgmlType::q8_0), block, 1, back);
  // Half a step, plus the f16 rounding of the scale over at most 127 steps.
  const float bound = 3.0f / 127 * (0.5f + 127 * 0x1p-11f);
  for (int i = 0; i < 32; ++i) EXPECT_NEAR(back[i], values[i], bound);
}

TEST(QuantiseQ8_0, RefusesWhatItCannotHold) {
  char block[34];
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity(), 8.33e6f}) {
    float values[32] = {};
    values[31] = bad;
    EXPECT_FALSE(quantise_q8_0(values, 1, block)) << bad;
  }
  float tiny[32] = {};
  tiny[0] = std::numeric_limits<float>::denorm_min();
  tiny[1] = 1e-38f;
  ASSERT_TRUE(quantise_q8_0(tiny, 1, block));
  EXPECT_EQ(std::string(block, 34), std::string(34, '\0'));
}

}  // namespace
}  // namespace outsize
