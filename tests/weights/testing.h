// What the tests of weights share: a folder that goes with its test, and a reader whose values
// follow from names.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "weights/weight_reader.h"

namespace outsize::weights_test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    path_ = (std::filesystem::temp_directory_path() / "outsize-weights-test-XXXXXX").string();
    if (!::mkdtemp(path_.data())) fail(ErrorKind::Io, "[test] no temporary folder");
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name = "") const {
    return name.empty() ? path_ : path_ + "/" + name;
  }

 private:
  std::string path_;
};

// The value of element (row, column) of a parameter.
inline float value_of(const std::string& parameter, std::int64_t row, std::int64_t column) {
  std::uint32_t hash = 2166136261u;
  for (char c : parameter) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  hash ^= static_cast<std::uint32_t>(row * 1009 + column * 31);
  hash = (hash ^ (hash >> 15)) * 0x2C1B3C6Du;
  hash = (hash ^ (hash >> 12)) * 0x297A2D39u;
  return static_cast<float>(static_cast<double>(hash) / 4294967296.0 - 0.5);
}

class NamedReader : public WeightReader {
 public:
  void check(const WeightSource&, const Shape&) const override {}
  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    if (source.parameter == fails_at) fail(ErrorKind::Io, "[test] the disk went away");
    const std::int64_t columns = column_count(shape);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        destination[r * columns + c] = value_of(source.parameter, first_row + r, c);
  }

  std::string fails_at;
};

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class F>
Error error_of(F f) {
  try {
    f();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::Internal, "nothing was thrown");
}

}  // namespace outsize::weights_test
