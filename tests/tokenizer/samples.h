// Texts, folders and random strings shared by the tokenizer tests.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace outsize {

inline std::filesystem::path data_folder() {
  return std::filesystem::path(OUTSIZE_SOURCE_DIR) / "tests" / "tokenizer" / "data";
}

// A folder of this test program's own, empty, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// The texts of data/texts.json.
std::vector<std::string> sample_texts();

// Up to `characters` characters of scripts, punctuation, white space, digits and emoji that every
// Unicode version since 9 knows.
std::string random_text(std::mt19937_64& random, int characters);

// The smallest valid tokenizer.json with every field that the reader looks at.
std::string small_tokenizer_json();

void write_file(const std::filesystem::path& path, const std::string& text);
std::string read_file(const std::filesystem::path& path);

}  // namespace outsize
