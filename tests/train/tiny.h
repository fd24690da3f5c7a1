// Tiny models with random batches, and a folder that goes with its test.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch.h"
#include "models/model.h"

namespace outsize::train_test {

inline constexpr const char* kFamilies[] = {"gpt2", "llama", "qwen2", "gemma3_text"};
inline constexpr std::int64_t kVocabulary = 261;  // bytes, an end token, and rows none uses
inline constexpr std::int64_t kContext = 320;

struct Size {
  std::int64_t width = 24, intermediate = 40, layers = 2, context = kContext;
};
std::unique_ptr<Model> tiny_model(const std::string& family, const Size& size = {});
// Wide enough that padding to pages does not eat what streaming saves; 1000 rows of vocabulary.
std::unique_ptr<Model> wide_model(std::int64_t layers = 6);
std::string tiny_config(const std::string& family);  // text of config.json
std::string byte_tokenizer();                        // text of tokenizer.json

// Where nothing waits for a disk, if there is such a place.
std::string memory_folder();

// Packed documents of random tokens; two of three positions have a target.
Batch random_batch(std::int64_t rows, std::int64_t length, std::int64_t vocabulary,
                   std::uint64_t seed);

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, std::string_view text) const;

 private:
  std::string path_;
};

}  // namespace outsize::train_test
