#include "formats/safetensors.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/half.h"
#include "formats/safetensors_writer.h"
#include "testing.h"

namespace outsize {
namespace {

using testing_formats::bytes_of;
using testing_formats::expect_error;
using testing_formats::fuzz;
using testing_formats::Scratch;

// A file of this header text and data, without any check.
std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t bytes = header.size();
  return std::string(reinterpret_cast<const char*>(&bytes), 8) + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  int begin, int end) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype,
                     shape, begin, end);
}

template <class T>
void append_all(SafetensorsWriter& writer, const std::vector<T>& values) {
  writer.append(values.data(), values.size() * sizeof(T));
}

// A small valid file with several dtypes, a scalar and an empty tensor.
std::string sample_bytes() {
  const Scratch scratch;
  SafetensorsWriter writer(scratch.at("s"),
                           {{"w", DType::f32, {2, 3}},
                            {"scalar", DType::f32, Shape()},
                            {"none", DType::f32, {0, 4}},
                            {"b", DType::bf16, {3}},
                            {"ids", DType::u8, {5}}},
                           {{"note", "x"}});
  append_all(writer, std::vector<float>{1, 2, 3, 4, 5, 6, 7});
  append_all(writer, std::vector<bf16>{to_bf16(0.5f), to_bf16(-2.0f), to_bf16(3.0f)});
  writer.append("abcde", 5);
  writer.finish();
  return bytes_of(scratch.at("s"));
}

TEST(SafetensorsWriter, WritesExactlyTheseBytes) {
  const Scratch scratch;
  SafetensorsWriter writer(scratch.at("s"), {{"a", DType::f32, {2}}, {"b", DType::bf16, {1, 1}}});
  append_all(writer, std::vector<float>{1.0f, -2.0f});
  append_all(writer, std::vector<bf16>{to_bf16(1.0f)});
  writer.finish();
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[1,1],"data_offsets":[8,10]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string data("\x00\x00\x80\x3f\x00\x00\x00\xc0\x80\x3f", 10);
  EXPECT_EQ(bytes_of(scratch.at("s")), file_of(header, data));
  EXPECT_EQ(writer.file_bytes(), 8 + header.size() + 10);
}

TEST(SafetensorsWriter, PiecesMayEndAnywhere) {
  const Scratch scratch;
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  SafetensorsWriter writer(scratch.at("s"),
                           {{"a", DType::f32, {300}}, {"b", DType::f32, {7, 100}}});
  const char* bytes = reinterpret_cast<const char*>(values.data());
  for (std::size_t done = 0; done < 4000; done += 125) writer.append(bytes + done, 125);
  writer.finish();
  const TensorFolder folder(scratch.at("s"));
  std::vector<float> back(700);
  folder.read_f32("b", 0, 700, back.data());
  EXPECT_EQ(back, std::vector<float>(values.begin() + 300, values.end()));
}

TEST(SafetensorsWriter, RefusesWrongDeclarationsAndAmounts) {
  const Scratch scratch;
  const std::string path = scratch.at("s");
  const ErrorKind kind = ErrorKind::InvalidArgument;
  expect_error(kind, "'a' is declared twice", [&] {
    SafetensorsWriter(path, {{"a", DType::f32, {1}}, {"a", DType::f32, {1}}});
  });
  expect_error(kind, "declared twice", [&] {
    SafetensorsWriter(path, {{"__metadata__", DType::f32, {1}}});
  });
  expect_error(kind, "UTF-8", [&] { SafetensorsWriter(path, {{"\xff", DType::f32, {1}}}); });
  const std::vector<TensorSpec> odd = {{"a", DType::bf16, {3}}, {"b", DType::f32, {1}}};
  expect_error(kind, "try widest_first", [&] { SafetensorsWriter(path, odd); });
  EXPECT_EQ(SafetensorsWriter(path, widest_first(odd)).tensors()[0].name, "b");
  SafetensorsWriter writer(path, {{"a", DType::f32, {2}}, {"b", DType::f32, {1}}});
  writer.append("12345678", 8);
  expect_error(kind, "tensor 'b' is incomplete; 4 bytes", [&] { writer.finish(); });
  expect_error(kind, "more bytes than declared", [&] { writer.append("12345", 5); });
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.append("1234", 4);
  writer.finish();
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(SafetensorsFile, DescribesWhatTheFileHolds) {
  const Scratch scratch;
  const SafetensorsFile file(scratch.put("s", sample_bytes()));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("note"), "x");
  ASSERT_EQ(file.tensors().size(), 5u);
  const TensorFolder folder(scratch.at("s"));
  EXPECT_EQ(folder.find("w")->shape, Shape({2, 3}));
  EXPECT_EQ(folder.find("scalar")->shape, Shape());
  EXPECT_EQ(folder.find("none")->bytes, 0u);
  EXPECT_EQ(folder.find("b")->dtype, DType::bf16);
  EXPECT_EQ(folder.find("absent"), nullptr);
  EXPECT_EQ(folder.total_bytes(), 28u + 6 + 5);
  EXPECT_EQ(folder.names().front(), "w");
  char raw[5];
  folder.read("ids", 1, 3, raw);
  EXPECT_EQ(std::string(raw, 3), "bcd");
}

TEST(SafetensorsFile, AcceptsUnpaddedHeadersAndForeignTypes) {
  const Scratch scratch;
  const std::string header =
      "{" + entry("m", "BOOL", "[3]", 0, 3) + "," + entry("u", "U16", "[1]", 3, 5) + "}";
  const TensorFolder folder(scratch.put("s", file_of(header, "\1\2\1xy")));
  EXPECT_EQ(folder.at("m").stored_type, "BOOL");
  EXPECT_EQ(folder.at("u").bytes, 2u);
  float x;
  expect_error(ErrorKind::Unsupported, "'m' is BOOL", [&] { folder.read_f32("m", 0, 1, &x); });
  const TensorFolder empty(scratch.put("e", file_of("{}", "")));
  EXPECT_TRUE(empty.names().empty());
}

TEST(SafetensorsFile, ConvertsEveryFloatingType) {
  const Scratch scratch;
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {0.0f,     -0.0f,    1.0f, -1.5f, 0x1p-14f,
                                     0x1p-24f, 65504.0f, inf,  -inf};
  const auto n = static_cast<std::int64_t>(values.size());
  std::vector<double> wide(values.begin(), values.end());
  std::vector<f16> half;
  std::vector<bf16> brain;
  for (float x : values) half.push_back(to_f16(x)), brain.push_back(to_bf16(x));
  SafetensorsWriter writer(scratch.at("s"), {{"d", DType::f64, {n}},
                                             {"f", DType::f32, {n}},
                                             {"h", DType::f16, {n}},
                                             {"b", DType::bf16, {n}},
                                             {"i", DType::u8, {1}}});
  append_all(writer, wide), append_all(writer, values), append_all(writer, half);
  append_all(writer, brain), writer.append("i", 1);
  writer.finish();
  const TensorFolder folder(scratch.at("s"));
  for (const char* name : {"d", "f", "h", "b"}) {
    std::vector<float> got(values.size());
    folder.read_f32(name, 0, n, got.data());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float expected = name[0] == 'b' ? to_f32(to_bf16(values[i])) : values[i];
      EXPECT_EQ(got[i], expected) << name << " " << i;
      EXPECT_EQ(std::signbit(got[i]), std::signbit(expected));
    }
    float one = 0;
    folder.read_f32(name, 3, 1, &one);
    EXPECT_EQ(one, -1.5f);
  }
  float x;
  expect_error(ErrorKind::Unsupported, "'i' is U8", [&] { folder.read_f32("i", 0, 1, &x); });
}

TEST(SafetensorsFile, StreamsLongConversions) {
  const Scratch scratch;
  const std::int64_t n = 200'003;
  std::vector<bf16> values;
  for (std::int64_t i = 0; i < n; ++i) values.push_back(to_bf16(static_cast<float>(i % 251)));
  SafetensorsWriter writer(scratch.at("s"), {{"a", DType::bf16, {n}}});
  append_all(writer, values);
  writer.finish();
  const TensorFolder folder(scratch.at("s"));
  std::vector<float> got(static_cast<std::size_t>(n) - 5);
  folder.read_f32("a", 5, n - 5, got.data());
  for (std::int64_t i = 5; i < n; ++i)
    ASSERT_EQ(got[static_cast<std::size_t>(i - 5)], static_cast<float>(i % 251)) << i;
}

TEST(SafetensorsFile, RangesAreChecked) {
  const Scratch scratch;
  const TensorFolder folder(scratch.put("s", sample_bytes()));
  float values[8];
  const ErrorKind kind = ErrorKind::InvalidArgument;
  expect_error(kind, "tensor 'w'", [&] { folder.read_f32("w", 0, 7, values); });
  expect_error(kind, "tensor 'w'", [&] { folder.read("w", 6, 1, values); });
  expect_error(kind, "tensor 'w'", [&] { folder.read("w", -1, 1, values); });
  expect_error(kind, "tensor 'w'", [&] { folder.read("w", INT64_MAX, INT64_MAX, values); });
  expect_error(kind, "no tensor 'v'", [&] { folder.read("v", 0, 1, values); });
  EXPECT_NO_THROW(folder.read_f32("none", 0, 0, values));
}

TEST(SafetensorsFile, RefusesInvalidFiles) {
  const Scratch scratch;
  const auto refuse = [&](ErrorKind kind, const std::string& part, const std::string& bytes) {
    expect_error(kind, part, [&] { SafetensorsFile(scratch.put("bad.safetensors", bytes)); });
  };
  const ErrorKind bad = ErrorKind::Corruption;
  const std::string a = entry("a", "F32", "[1]", 0, 4);
  refuse(bad, "too short", "1234567");
  refuse(bad, "header of 18446744073709551615 bytes", std::string(8, '\xff'));
  refuse(bad, "header of 100 bytes", std::string("\x64\0\0\0\0\0\0\0{}", 10));
  refuse(bad, "expected '{' at byte 8", file_of("[]", ""));
  refuse(bad, "expected '{' at byte 8", file_of("", ""));
  refuse(bad, "not valid JSON", file_of("{" + a, "1234"));
  refuse(bad, "key 'a' appears twice", file_of("{" + a + "," + a + "}", "1234"));
  refuse(bad, "1 bytes after the last", file_of("{" + a + "}", "12345"));
  refuse(bad, "ends outside the file", file_of("{" + a + "}", "123"));
  refuse(bad, "hole before tensor 'a'",
         file_of("{" + entry("a", "F32", "[1]", 1, 5) + "}", "12345"));
  refuse(bad, "overlap before tensor 'b'",
         file_of("{" + a + "," + entry("b", "F32", "[1]", 2, 6) + "}", "123456"));
  refuse(bad, "has 4 bytes; expected 2 × 4",
         file_of("{" + entry("a", "F32", "[2]", 0, 4) + "}", "1234"));
  refuse(bad, "no valid data_offsets", file_of("{" + entry("a", "F32", "[1]", 4, 0) + "}", "1234"));
  refuse(bad, "no valid shape", file_of("{" + entry("a", "F32", "[-1]", 0, 4) + "}", "1234"));
  refuse(bad, "no valid shape", file_of("{" + entry("a", "F32", "[1.0]", 0, 4) + "}", "1234"));
  refuse(bad, "product overflows",
         file_of("{" + entry("a", "F32", "[4294967296,4294967296]", 0, 4) + "}", "1234"));
  refuse(bad, "expected 4611686018427387904 × 4",
         file_of("{" + entry("a", "F32", "[4611686018427387904]", 0, 4) + "}", "1234"));
  refuse(ErrorKind::Unsupported, "unknown dtype; got 'F4'",
         file_of("{" + entry("a", "F4", "[8]", 0, 4) + "}", "1234"));
  refuse(ErrorKind::Unsupported, "6 axes",
         file_of("{" + entry("a", "F32", "[1,1,1,1,1,1]", 0, 4) + "}", "1234"));
  refuse(bad, "not described by", file_of(R"({"a":7})", ""));
  refuse(bad, "no valid data_offsets",
         file_of(R"({"a":{"dtype":"F32","shape":[0],"x":[0,0]}})", ""));
  refuse(bad, "not described by", file_of(R"({"a":{"shape":[0],"data_offsets":[0,0],"x":1}})", ""));
  refuse(bad, "__metadata__", file_of(R"({"__metadata__":[]})", ""));
  refuse(bad, "__metadata__", file_of(R"({"__metadata__":{"a":1}})", ""));
  refuse(bad, "nested too deeply", file_of("{\"a\":" + std::string(100, '['), ""));
}

class Shards : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& tensor, float value) {
    SafetensorsWriter writer(scratch_.at(file), {{tensor, DType::f32, {1}}});
    writer.append(&value, 4);
    writer.finish();
  }
  void index(const std::string& map) {
    scratch_.put("model.safetensors.index.json",
                 R"({"metadata":{"total_size":8},"weight_map":)" + map + "}");
  }
  void refused(ErrorKind kind, const std::string& part) {
    expect_error(kind, part, [&] { TensorFolder folder(scratch_.folder()); });
  }

  Scratch scratch_;
};

TEST_F(Shards, AreOneFolder) {
  write("model-1.safetensors", "a", 1.0f);
  write("model-2.safetensors", "b", 2.0f);
  index(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})");
  TensorFolder folder(scratch_.folder());
  float x = 0;
  folder.read_f32("b", 0, 1, &x);
  EXPECT_EQ(x, 2.0f);
  EXPECT_EQ(folder.at("b").file, 1u);
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "b"}));
  const TensorFolder moved = std::move(folder);
  moved.read_f32("a", 0, 1, &x);
  EXPECT_EQ(x, 1.0f);
}

TEST_F(Shards, ContradictionsAreRefused) {
  refused(ErrorKind::Io, "has no weights");
  write("model-1.safetensors", "a", 1.0f);
  write("model-2.safetensors", "a", 2.0f);
  index(R"({"a":"model-1.safetensors","b":"model-2.safetensors"})");
  refused(ErrorKind::Corruption, "is not in the shard it names");
  write("model-2.safetensors", "b", 2.0f);
  index(R"({"a":"model-2.safetensors","b":"model-1.safetensors"})");
  refused(ErrorKind::Corruption, "'a' is not in the shard");
  index(R"({"a":"model-1.safetensors","b":"model-3.safetensors"})");
  refused(ErrorKind::Io, "model-3.safetensors");
  index(R"({"a":"../model-1.safetensors"})");
  refused(ErrorKind::InvalidArgument, "beside the index");
  index(R"({"a":7})");
  refused(ErrorKind::InvalidArgument, "field 'weight_map.a' has the wrong type");
  index("[]");
  refused(ErrorKind::InvalidArgument, "'weight_map.' is not an object");
  scratch_.put("model.safetensors.index.json", "{}");
  refused(ErrorKind::InvalidArgument, "field 'weight_map' is missing");
}

TEST_F(Shards, ATensorInTwoFilesIsRefused) {
  SafetensorsWriter writer(scratch_.at("1.safetensors"),
                           {{"a", DType::f32, {1}}, {"b", DType::f32, {1}}});
  writer.append("12345678", 8);
  writer.finish();
  write("2.safetensors", "b", 2.0f);
  index(R"({"a":"1.safetensors","b":"2.safetensors"})");
  refused(ErrorKind::Corruption, "'b' is in two files");
}

TEST(SafetensorsFuzz, OnlyTypedErrorsComeOut) {
  const Scratch scratch;
  fuzz(sample_bytes(), 2'000'000, 12'000, [&](const std::string& bytes) {
    const TensorFolder folder(scratch.put("s", bytes));
    for (const TensorInfo& tensor : folder.tensors()) {
      ASSERT_LE(tensor.bytes, bytes.size());
      std::vector<float> values(static_cast<std::size_t>(tensor.shape.numel()));
      if (is_float(tensor.dtype))
        folder.read_f32(tensor.name, 0, tensor.shape.numel(), values.data());
    }
  });
}

TEST(SafetensorsFuzz, DamagedIndexesGiveTypedErrors) {
  const Scratch scratch;
  const std::string sample = sample_bytes();
  scratch.put("one.safetensors", sample);
  const std::string index = R"({"metadata":{"total_size":39},"weight_map":)"
                            R"({"w":"one.safetensors","b":"one.safetensors"}})";
  fuzz(index, 3'000'000, 3'000, [&](const std::string& text) {
    scratch.put("model.safetensors.index.json", text);
    const TensorFolder folder(scratch.folder());
    EXPECT_TRUE(folder.names().empty() || folder.find("w") != nullptr);
  });
}

}  // namespace
}  // namespace outsize
