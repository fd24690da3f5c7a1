#include "formats/gguf.h"

#include <cmath>
#include <cstring>

#include "core/half.h"
#include "formats/gguf_writer.h"
#include "testing.h"

namespace outsize {
namespace {

using testing_formats::bytes_of;
using testing_formats::expect_error;
using testing_formats::fuzz;
using testing_formats::Scratch;
using testing_formats::thrown_by;

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string u32(std::uint32_t value) {
  return raw(value);
}
std::string u64(std::uint64_t value) {
  return raw(value);
}
std::string text(const std::string& value) {
  return u64(value.size()) + value;
}
std::string head(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
  return "GGUF" + u32(version) + u64(tensors) + u64(pairs);
}
std::string tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                   std::uint32_t type, std::uint64_t offset) {
  std::string out = text(name) + u32(static_cast<std::uint32_t>(dims.size()));
  for (std::uint64_t size : dims) out += u64(size);
  return out + u32(type) + u64(offset);
}
std::string padded(std::string bytes, std::size_t alignment = 32) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0');
  return bytes;
}

GgufMetadata sample_metadata() {
  const std::vector<std::string> tokens = {"<pad>", "", "a b", "é"};
  return {{"general.architecture", GgufValue::of_text("gemma3")},
          {"gemma3.block_count", GgufValue::of_u32(18)},
          {"gemma3.rope.freq_base", GgufValue::of_f32(1e6f)},
          {"tokenizer.ggml.add_bos_token", GgufValue::of_bool(true)},
          {"tokenizer.ggml.tokens", GgufValue::of_texts(tokens)},
          {"tokenizer.ggml.scores", GgufValue::of_f32s(std::vector<float>{0, -1, 2.5f, 3})},
          {"tokenizer.ggml.token_type", GgufValue::of_i32s(std::vector<std::int32_t>{3, 1, -1, 6})},
          {"x.wide", GgufValue::of_u64(~std::uint64_t{0})},
          {"x.byte", GgufValue::of_u8(200)},
          {"x.signed", GgufValue::of_i32(-7)},
          {"general.quantization_version", GgufValue::of_u32(2)}};
}

std::vector<float> wave(std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = std::sin(static_cast<float>(i)) * 4.0f;
  return values;
}

// Writes one tensor of each type from the same values; shape [3, 64].
std::string sample_bytes() {
  const Scratch scratch;
  GgufWriter writer(scratch.at("m.gguf"), sample_metadata(),
                    {{"f32", GgmlType::f32, {3, 64}},
                     {"none", GgmlType::f32, {0, 64}},
                     {"f16", GgmlType::f16, {3, 64}},
                     {"bf16", GgmlType::bf16, {3, 64}},
                     {"scalar", GgmlType::f32, Shape()},
                     {"q8_0", GgmlType::q8_0, {3, 64}}});
  const std::vector<float> values = wave(192);
  for (int i = 0; i < 3; ++i) writer.append_f32(values.data(), 192);
  writer.append_f32(values.data() + 1, 1);
  writer.append_f32(values.data(), 192);
  writer.finish();
  const std::string bytes = bytes_of(scratch.at("m.gguf"));
  EXPECT_EQ(bytes.size(), writer.file_bytes());
  return bytes;
}

TEST(GgufWriter, WritesExactlyTheseBytes) {
  const Scratch scratch;
  const std::vector<std::string> list = {"x"};
  GgufWriter writer(scratch.at("m.gguf"),
                    {{"a", GgufValue::of_u32(7)}, {"b", GgufValue::of_texts(list)}},
                    {{"w", GgmlType::f32, {1, 2}}, {"v", GgmlType::bf16, {1}}});
  const float values[] = {1.0f, -2.0f, 0.5f};
  writer.append_f32(values, 3);
  writer.finish();
  const std::string header = head(2, 2) + text("a") + u32(4) + u32(7) + text("b") + u32(9) +
                             u32(8) + u64(1) + text("x") + tensor("w", {2, 1}, 0, 0) +
                             tensor("v", {1}, 30, 32);
  const std::string data = padded(raw(1.0f) + raw(-2.0f)) + padded(std::string("\x00\x3f", 2));
  EXPECT_EQ(bytes_of(scratch.at("m.gguf")), padded(header) + data);
}

TEST(GgufWriter, RefusesWrongDeclarationsAndAmounts) {
  const Scratch scratch;
  const std::string path = scratch.at("m.gguf");
  const ErrorKind kind = ErrorKind::InvalidArgument;
  const auto refuse = [&](const std::string& part, const GgufMetadata& metadata,
                          const std::vector<GgufTensorSpec>& tensors) {
    expect_error(kind, part, [&] { GgufWriter(path, metadata, tensors); });
  };
  const GgufValue one = GgufValue::of_u32(1);
  refuse("key 'a'", {{"a", one}, {"a", one}}, {});
  refuse("key ''", {{"", one}}, {});
  refuse("tensor 'w'", {}, {{"w", GgmlType::f32, {1}}, {"w", GgmlType::f32, {1}}});
  refuse("longer than 63", {}, {{std::string(64, 'n'), GgmlType::f32, {1}}});
  refuse("as Q4_K", {}, {{"w", GgmlType::q4_k, {256}}});
  refuse("multiple of 32", {}, {{"w", GgmlType::q8_0, {32, 33}}});
  refuse("at most 4 axes", {}, {{"w", GgmlType::f32, {1, 1, 1, 1, 1}}});
  GgufWriter writer(path, {}, {{"w", GgmlType::f32, {2}}, {"q", GgmlType::q8_0, {32}}});
  const std::vector<float> nan(32, std::nanf(""));
  writer.append_f32(nan.data(), 2);
  expect_error(kind, "tensor 'q' is incomplete; got 0 of 32", [&] { writer.finish(); });
  expect_error(kind, "'q' holds NaN", [&] { writer.append_f32(nan.data(), 32); });
  EXPECT_FALSE(std::filesystem::exists(path));
  GgufWriter small(path, {}, {{"w", GgmlType::f32, {2}}});
  expect_error(kind, "1 more elements", [&] { small.append_f32(nan.data(), 3); });
}

TEST(GgufWriter, PiecesMayEndAnywhere) {
  const Scratch scratch;
  const std::vector<float> values = wave(640);
  std::string first;
  for (const std::int64_t piece : {640, 1, 7, 31, 33, 320}) {
    GgufWriter writer(scratch.at("m.gguf"), {},
                      {{"a", GgmlType::q8_0, {5, 64}}, {"b", GgmlType::f16, {320}}});
    for (std::int64_t done = 0; done < 640; done += piece)
      writer.append_f32(values.data() + done, std::min<std::int64_t>(piece, 640 - done));
    writer.finish();
    const std::string bytes = bytes_of(scratch.at("m.gguf"));
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << piece;
  }
}

TEST(GgufFile, MetadataRoundTrips) {
  const Scratch scratch;
  const GgufFile file(scratch.put("m.gguf", sample_bytes()));
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.metadata(), sample_metadata());
  EXPECT_EQ(file.text("general.architecture"), "gemma3");
  EXPECT_EQ(file.integer("gemma3.block_count", 1, 100), 18);
  EXPECT_EQ(file.number("gemma3.rope.freq_base"), 1e6);
  EXPECT_EQ(file.number("gemma3.block_count"), 18.0);
  EXPECT_TRUE(file.boolean("tokenizer.ggml.add_bos_token"));
  EXPECT_EQ(file.integer("x.signed"), -7);
  EXPECT_EQ(file.integer("x.byte"), 200);
  const GgufValue& tokens = file.texts("tokenizer.ggml.tokens");
  ASSERT_EQ(tokens.size(), 4u);
  EXPECT_EQ(*tokens.text(0), "<pad>");
  EXPECT_EQ(*tokens.text(1), "");
  EXPECT_EQ(*tokens.text(3), "é");
  EXPECT_EQ(file.numbers("tokenizer.ggml.scores"), (std::vector<float>{0, -1, 2.5f, 3}));
  EXPECT_EQ(file.integers("tokenizer.ggml.token_type"), (std::vector<std::int64_t>{3, 1, -1, 6}));
  EXPECT_EQ(file.integers("gemma3.block_count"), std::vector<std::int64_t>{18});
  EXPECT_EQ(file.integer_or("none", 3), 3);
  EXPECT_EQ(file.number_or("none", 0.5), 0.5);
  EXPECT_TRUE(file.boolean_or("none", true));
  EXPECT_EQ(file.text_or("none", "d"), "d");
  EXPECT_EQ(file.find("none"), nullptr);
}

TEST(GgufFile, MetadataFaultsNameFileAndKey) {
  const Scratch scratch;
  const GgufFile file(scratch.put("m.gguf", sample_bytes()));
  const ErrorKind kind = ErrorKind::InvalidArgument;
  expect_error(kind, "m.gguf: key 'none' is missing", [&] { file.integer("none"); });
  expect_error(kind, "'gemma3.block_count' is out of range; got 18",
               [&] { file.integer("gemma3.block_count", 20); });
  expect_error(kind, "'gemma3.rope.freq_base' is f32",
               [&] { file.integer("gemma3.rope.freq_base"); });
  expect_error(kind, "'x.wide' is u64", [&] { file.integer("x.wide"); });
  expect_error(kind, "is string; expected a number", [&] { file.number("general.architecture"); });
  expect_error(kind, "is u32; expected a bool", [&] { file.boolean("gemma3.block_count"); });
  expect_error(kind, "is u8; expected a string", [&] { file.text("x.byte"); });
  expect_error(kind, "is a list", [&] { file.integer("tokenizer.ggml.token_type"); });
  expect_error(kind, "holds f32", [&] { file.integers("tokenizer.ggml.scores"); });
  expect_error(kind, "holds string", [&] { file.numbers("tokenizer.ggml.tokens"); });
  expect_error(kind, "is a list of f32; expected a list of strings",
               [&] { file.texts("tokenizer.ggml.scores"); });
  expect_error(kind, "is string; expected a list", [&] { file.texts("general.architecture"); });
}

TEST(GgufFile, TensorsRoundTrip) {
  const Scratch scratch;
  const GgufFile file(scratch.put("m.gguf", sample_bytes()));
  const std::vector<float> values = wave(192);
  ASSERT_EQ(file.tensors().size(), 6u);
  EXPECT_EQ(file.find_tensor("absent"), nullptr);
  EXPECT_EQ(file.find_tensor("none")->bytes, 0u);
  EXPECT_EQ(file.find_tensor("f16")->shape, Shape({3, 64}));
  EXPECT_EQ(file.find_tensor("q8_0")->bytes, 6u * 34);
  for (const char* name : {"f32", "f16", "bf16", "q8_0"}) {
    std::vector<float> got(192);
    file.read_f32(name, 0, 192, got.data());
    for (std::size_t i = 0; i < 192; ++i) {
      const float bound = name[0] == 'q'   ? 0.02f
                          : name[0] == 'b' ? 0.01f
                          : name[1] == '1' ? 0.002f
                                           : 0;
      ASSERT_NEAR(got[i], values[i], bound) << name << " " << i;
    }
    // Any range gives the same elements, whole blocks or not.
    for (const auto& [first, count] :
         {std::pair{0, 1}, {31, 2}, {5, 150}, {64, 64}, {191, 1}, {192, 0}}) {
      std::vector<float> part(static_cast<std::size_t>(count));
      file.read_f32(name, first, count, part.data());
      EXPECT_TRUE(std::equal(part.begin(), part.end(), got.begin() + first))
          << name << " " << first;
    }
  }
  float x = 0;
  file.read_f32("scalar", 0, 1, &x);
  EXPECT_EQ(x, values[1]);
  const ErrorKind kind = ErrorKind::InvalidArgument;
  expect_error(kind, "no tensor 'absent'", [&] { file.read_f32("absent", 0, 1, &x); });
  expect_error(kind, "'f32' has no such range", [&] { file.read_f32("f32", 192, 1, &x); });
  expect_error(kind, "'f32' has no such range", [&] { file.read_f32("f32", -1, 1, &x); });
}

TEST(GgufFile, KeepsALargeVocabulary) {
  const Scratch scratch;
  std::vector<std::string> tokens;
  for (int i = 0; i < 262'144; ++i) tokens.push_back("token " + std::to_string(i));
  GgufWriter writer(scratch.at("m.gguf"), {{"tokens", GgufValue::of_texts(tokens)}}, {});
  writer.finish();
  const GgufFile file(scratch.at("m.gguf"));
  const GgufValue& read = file.texts("tokens");
  ASSERT_EQ(read.size(), tokens.size());
  EXPECT_EQ(*read.text(262'143), "token 262143");
  EXPECT_EQ(*read.text(77), "token 77");
}

TEST(GgufFile, ReadsVersion2AndOtherAlignments) {
  const Scratch scratch;
  const std::string header =
      head(1, 1, 2) + text("general.alignment") + u32(4) + u32(8) + tensor("w", {1, 2}, 0, 8);
  const GgufFile file(
      scratch.put("m.gguf", padded(header, 8) + std::string(8, 'x') + raw(2.0f) + raw(3.0f)));
  EXPECT_EQ(file.version(), 2u);
  float values[2];
  file.read_f32("w", 0, 2, values);
  EXPECT_EQ(values[1], 3.0f);
  EXPECT_EQ(file.tensors()[0].shape, Shape({2, 1}));
}

class BadGguf : public testing::Test {
 protected:
  void refuse(ErrorKind kind, const std::string& part, const std::string& bytes) {
    expect_error(kind, part, [&] { GgufFile(scratch_.put("bad.gguf", bytes)); });
  }
  // A file whose one tensor has this description and whose data are `bytes` bytes.
  void refuse_tensor(const std::string& part, const std::string& description, std::size_t bytes,
                     ErrorKind kind = ErrorKind::Corruption) {
    refuse(kind, part, padded(head(1, 0) + description) + std::string(bytes, '\0'));
  }

  Scratch scratch_;
};

TEST_F(BadGguf, HeadsAreRefused) {
  const ErrorKind bad = ErrorKind::Corruption;
  refuse(bad, "not a GGUF file", "");
  refuse(bad, "not a GGUF file", "GGU");
  refuse(bad, "not a GGUF file", "GGML" + u32(3));
  refuse(bad, "header ends early", "GGUF");
  refuse(ErrorKind::Unsupported, "version 1", head(0, 0, 1));
  refuse(ErrorKind::Unsupported, "version 4", head(0, 0, 4));
  refuse(ErrorKind::Unsupported, "big-endian", head(0, 0, 0x03000000));
  refuse(bad, "tensors cannot fit", head(~std::uint64_t{0}, 0));
  refuse(bad, "key-value pairs cannot fit", head(0, std::uint64_t{1} << 62));
  refuse(bad, "tensors cannot fit", head(1, 0) + std::string(15, '\0'));
  refuse(bad, "header ends early", head(1, 0) + std::string(20, '\0'));
}

TEST_F(BadGguf, MetadataIsRefused) {
  const ErrorKind bad = ErrorKind::Corruption;
  const std::string tail(64, '\0');
  refuse(bad, "key of 65536 bytes", head(0, 1) + u64(65536) + std::string(70000, 'k'));
  refuse(bad, "is too long", head(0, 1) + u64(~std::uint64_t{0}) + tail);
  refuse(bad, "key 'k' has unknown kind 13", head(0, 1) + text("k") + u32(13) + tail);
  refuse(bad, "key 'k' has unknown kind 99",
         head(0, 1) + text("k") + u32(9) + u32(99) + u64(1) + tail);
  refuse(bad, "string of", head(0, 1) + text("k") + u32(8) + u64(1u << 20) + tail);
  refuse(bad, "list elements cannot fit",
         head(0, 1) + text("k") + u32(9) + u32(10) + u64(std::uint64_t{1} << 61) + tail);
  refuse(bad, "list elements cannot fit",
         head(0, 1) + text("k") + u32(9) + u32(8) + u64(100) + tail);
  refuse(ErrorKind::Unsupported, "key 'k' is a list of lists",
         head(0, 1) + text("k") + u32(9) + u32(9) + u64(1) + tail);
  refuse(bad, "neither 0 nor 1", head(0, 1) + text("k") + u32(7) + "\2" + tail);
  const std::string pair = text("k") + u32(4) + u32(1);
  refuse(bad, "key 'k' appears twice", head(0, 2) + pair + pair);
  const auto alignment = [](std::uint32_t value) {
    return head(0, 1) + text("general.alignment") + u32(4) + u32(value);
  };
  refuse(ErrorKind::InvalidArgument, "'general.alignment' is out of range", alignment(0));
  refuse(ErrorKind::InvalidArgument, "expected a power of two", alignment(24));
}

TEST_F(BadGguf, TensorsAreRefused) {
  const std::uint64_t huge = std::uint64_t{1} << 62;
  refuse_tensor("5 axes", tensor("w", {1, 1, 1, 1, 1}, 0, 0), 64);
  refuse_tensor("product overflows", tensor("w", {huge, 4}, 0, 0), 64);
  refuse_tensor("product overflows", tensor("w", {huge, 1}, 0, 0), 64);
  refuse_tensor("product overflows", tensor("w", {~std::uint64_t{0}}, 0, 0), 64);
  refuse_tensor("multiple of 32 for Q8_0", tensor("w", {33}, 8, 0), 64);
  refuse_tensor("multiple of 256 for Q4_K", tensor("w", {128, 2}, 12, 0), 512);
  refuse_tensor("unknown type 4", tensor("w", {32}, 4, 0), 64, ErrorKind::Unsupported);
  refuse_tensor("is not aligned to 32", tensor("w", {2}, 0, 8), 64);
  refuse_tensor("ends outside the file", tensor("w", {17}, 0, 0), 64);
  refuse_tensor("ends outside the file", tensor("w", {2}, 0, 96), 64);
  refuse_tensor("ends outside the file", tensor("w", {2}, 0, ~std::uint64_t{0} - 31), 64);
  const auto two = [](const std::string& second) {
    return padded(head(2, 0) + tensor("w", {16}, 0, 0) + second) + std::string(128, '\0');
  };
  refuse(ErrorKind::Corruption, "tensors 'w' and 'v' overlap", two(tensor("v", {2}, 0, 32)));
  refuse(ErrorKind::Corruption, "tensor 'w' appears twice", two(tensor("w", {2}, 0, 64)));
  refuse(ErrorKind::Corruption, "header ends early",
         head(2, 0) + tensor("w", {0}, 0, 0) + text("abcdefgh") + u32(0));
}

TEST_F(BadGguf, ATypeWithoutDecoderOnlyHindersItsOwnTensor) {
  const std::string header = head(2, 0) + tensor("iq", {256}, 16, 0) + tensor("w", {1}, 0, 96);
  const GgufFile file(scratch_.put("m.gguf", padded(header) + std::string(96, '\0') + raw(5.0f)));
  float x = 0;
  file.read_f32("w", 0, 1, &x);
  EXPECT_EQ(x, 5.0f);
  expect_error(ErrorKind::Unsupported, "'iq' is IQ2_XXS", [&] { file.read_f32("iq", 0, 1, &x); });
}

TEST_F(BadGguf, MessagesStayShortWhateverTheFileHolds) {
  const std::string pair = text(std::string(60'000, 'k')) + u32(4) + u32(1);
  const auto thrown =
      thrown_by([&] { GgufFile(scratch_.put("bad.gguf", head(0, 2) + pair + pair)); });
  EXPECT_LT(thrown.message.size(), 500u);
}

TEST(GgufFuzz, OnlyTypedErrorsComeOut) {
  const Scratch scratch;
  // Most of the sample is tensor data, where damage is invisible: aim at the header.
  const std::string sample = sample_bytes();
  const std::size_t header_bytes = sample.size() - 192 * (4 + 2 + 2) - 32 - 6 * 34;
  const std::string header = sample.substr(0, header_bytes);
  const std::string data = sample.substr(header_bytes);
  fuzz(header, 4'000'000, 14'000, [&](const std::string& bytes) {
    const GgufFile file(scratch.put("m.gguf", bytes + data));
    for (const GgufTensor& item : file.tensors()) {
      ASSERT_LE(item.bytes, bytes.size() + data.size());
      ASSERT_LE(static_cast<std::uint64_t>(item.shape.numel()), 8 * item.bytes);
      std::vector<float> values(static_cast<std::size_t>(item.shape.numel()));
      if (can_dequantise(item.type)) file.read_f32(item.name, 0, item.shape.numel(), values.data());
    }
    if (file.has("tokenizer.ggml.tokens")) file.texts("tokenizer.ggml.tokens");
    file.integer_or("gemma3.block_count", 1);
    file.text_or("general.architecture", "");
  });
}

}  // namespace
}  // namespace outsize
