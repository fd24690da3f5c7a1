// Shared by the format tests: a scratch folder, errors as values, and seeded damage to bytes.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "core/rng.h"

namespace outsize::testing_formats {

class Scratch {
 public:
  Scratch() {
    std::string pattern = std::filesystem::temp_directory_path() / "outsize-formats-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "no scratch folder";
    folder_ = pattern;
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }

  std::string folder() const { return folder_; }
  std::string at(const std::string& name) const { return folder_ / name; }
  std::string put(const std::string& name, const std::string& bytes) const {
    // A new file each time: replacing by truncation makes some file systems write through to the
    // disk.
    std::filesystem::remove(at(name));
    std::ofstream(at(name), std::ios::binary) << bytes;
    return at(name);
  }

 private:
  std::filesystem::path folder_;
};

inline std::string bytes_of(const std::string& path) {
  return read_text(path, std::uint64_t{1} << 32);
}

struct Thrown {
  ErrorKind kind = ErrorKind::Internal;
  std::string message;
};

// What `action` throws; a failure when it throws nothing or something untyped.
template <class F>
Thrown thrown_by(F&& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  } catch (const std::exception& error) {
    ADD_FAILURE() << "untyped exception: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

// `action` throws an Error of this kind whose message holds `part`.
template <class F>
void expect_error(ErrorKind kind, const std::string& part, F&& action) {
  const Thrown thrown = thrown_by(std::forward<F>(action));
  EXPECT_STREQ(name_of(thrown.kind), name_of(kind)) << thrown.message;
  EXPECT_NE(thrown.message.find(part), std::string::npos)
      << "expected '" << part << "' in: " << thrown.message;
}

// Damages bytes as disks, networks and enemies do: flipped bits, replaced, inserted, removed and
// repeated runs, truncation, and 8-byte fields set to extreme values. A function of the seed alone.
std::string mutated(std::string bytes, std::uint64_t seed);

// Runs `action` on `count` mutations of `original`; only Error may come out (never Internal).
// Prints the seed of a failure.
template <class F>
void fuzz(const std::string& original, std::uint64_t first_seed, int count, F&& action) {
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t seed = first_seed + static_cast<std::uint64_t>(i);
    SCOPED_TRACE("mutation seed " + std::to_string(seed));
    try {
      action(mutated(original, seed));
    } catch (const Error& error) {
      ++refused;
      EXPECT_NE(error.kind(), ErrorKind::Internal) << error.what();
      EXPECT_LT(std::string(error.what()).size(), 2000u);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "untyped exception: " << error.what();
    }
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(refused, count / 10) << "the mutations do not reach the checks";
}

}  // namespace outsize::testing_formats
