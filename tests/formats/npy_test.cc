#include "formats/npy.h"

#include <cstring>

#include "testing.h"

namespace outsize {
namespace {

using testing_formats::bytes_of;
using testing_formats::expect_error;
using testing_formats::fuzz;
using testing_formats::Scratch;

std::string sample_bytes() {
  const Scratch scratch;
  NpyWriter writer(scratch.at("x.npy"), DType::f32, {2, 3});
  const float values[] = {0, 1, 2, 3, 4, 5};
  writer.append(values, 3);
  writer.append(values + 3, 3);
  writer.finish();
  return bytes_of(scratch.at("x.npy"));
}

TEST(Npy, WritesExactlyTheseBytes) {
  std::string head("\x93NUMPY\x01\x00\x76\x00", 10);
  head += "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  head.resize(127, ' ');
  head += '\n';
  const float values[] = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(sample_bytes(), head + std::string(reinterpret_cast<const char*>(values), 24));
}

TEST(Npy, RoundTripsEveryTypeAndRank) {
  const Scratch scratch;
  const std::string path = scratch.at("x.npy");
  const std::string data(8 * 24, 'd');
  for (DType dtype :
       {DType::f64, DType::f32, DType::f16, DType::i64, DType::i32, DType::i16, DType::u8}) {
    for (const Shape& shape : {Shape(), Shape({5}), Shape({0, 7}), Shape({2, 3, 4})}) {
      NpyWriter writer(path, dtype, shape);
      writer.append(data.data(), shape.numel());
      writer.finish();
      EXPECT_EQ(
          (bytes_of(path).size() - static_cast<std::size_t>(shape.numel() * size_of(dtype))) % 64,
          0u);
      const NpyArray array = read_npy(path);
      EXPECT_EQ(array.dtype, dtype);
      EXPECT_EQ(array.shape, shape);
      EXPECT_EQ(static_cast<std::int64_t>(array.bytes.size()), shape.numel() * size_of(dtype));
    }
  }
}

TEST(Npy, RefusesWrongAmountsAndTypes) {
  const Scratch scratch;
  const ErrorKind kind = ErrorKind::InvalidArgument;
  expect_error(kind, "bf16", [&] { NpyWriter(scratch.at("x"), DType::bf16, {1}); });
  NpyWriter writer(scratch.at("x"), DType::i32, {2});
  const std::int32_t values[3] = {};
  expect_error(kind, "expected at most 2", [&] { writer.append(values, 3); });
  writer.append(values, 1);
  expect_error(kind, "1 elements are missing", [&] { writer.finish(); });
  EXPECT_FALSE(std::filesystem::exists(scratch.at("x")));
}

TEST(Npy, RefusesInvalidFiles) {
  const Scratch scratch;
  const auto file_of = [](const std::string& dictionary, std::size_t data) {
    const auto length = static_cast<std::uint16_t>(dictionary.size());
    return std::string("\x93NUMPY\x01\x00", 8) +
           std::string(reinterpret_cast<const char*>(&length), 2) + dictionary +
           std::string(data, 'd');
  };
  const auto refuse = [&](ErrorKind kind, const std::string& part, const std::string& bytes) {
    expect_error(kind, part, [&] { read_npy(scratch.put("bad.npy", bytes)); });
  };
  const ErrorKind bad = ErrorKind::Corruption;
  refuse(bad, "not an NPY file", "");
  refuse(bad, "not an NPY file", "0123456789abc");
  refuse(bad, "header of 100 bytes", std::string("\x93NUMPY\x01\x00\x64\x00", 10) + "{}");
  refuse(ErrorKind::Unsupported, "version 9", std::string("\x93NUMPY\x09\x00\x02\x00", 10) + "{}");
  refuse(bad, "without 'descr'", file_of("{}", 0));
  refuse(ErrorKind::Unsupported, "'>f4'",
         file_of("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4));
  refuse(ErrorKind::Unsupported, "Fortran",
         file_of("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", 4));
  for (const char* shape :
       {"(-1,)", "1", "(1", "(99999999999999999999,)", "(4294967296, 4294967296)"})
    refuse(bad, "invalid shape",
           file_of(std::string("{'descr': '<f4', 'fortran_order': False, 'shape': ") + shape, 4));
  refuse(bad, "do not fit",
         file_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4));
}

TEST(NpyFuzz, OnlyTypedErrorsComeOut) {
  const Scratch scratch;
  fuzz(sample_bytes(), 5'000'000, 10'000, [&](const std::string& bytes) {
    EXPECT_LE(read_npy(scratch.put("x.npy", bytes)).bytes.size(), bytes.size());
  });
}

}  // namespace
}  // namespace outsize
