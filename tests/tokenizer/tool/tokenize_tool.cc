// Prints ids for comparison with other libraries. Input on stdin: for each text its length in bytes
// in decimal, a line feed, then the bytes. Output: one JSON array per text and line.
//   tokenize_tool MODEL [--special]
//   tokenize_tool MODEL --export-hf FOLDER
//   tokenize_tool MODEL --export-gguf FILE      a GGUF file with a tokenizer and no tensors
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

#include "core/error.h"
#include "formats/gguf_writer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_export.h"

namespace {

using outsize::GgufValue;

void print_ids(const std::vector<outsize::TokenId>& ids) {
  std::string line = "[";
  for (const outsize::TokenId id : ids) {
    if (line.size() > 1) line += ',';
    line += std::to_string(id);
  }
  line += "]\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
}

void tokenize(const std::string& model, bool parse_special) {
  const auto tokenizer = outsize::load_tokenizer(model);
  std::string text, length;
  while (std::getline(std::cin, length)) {
    text.resize(std::stoull(length));
    std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
    print_ids(tokenizer->encode(text, parse_special));
  }
}

// llama.cpp wants a few sizes even when it only reads the vocabulary.
void export_gguf(const std::string& model, const std::string& path) {
  const auto rows = outsize::load_tokenizer(model)->vocabulary_size();
  outsize::GgufMetadata metadata{
      {"general.architecture", GgufValue::of_text("llama")},
      {"llama.context_length", GgufValue::of_u32(64)},
      {"llama.embedding_length", GgufValue::of_u32(32)},
      {"llama.block_count", GgufValue::of_u32(1)},
      {"llama.feed_forward_length", GgufValue::of_u32(32)},
      {"llama.attention.head_count", GgufValue::of_u32(1)},
      {"llama.attention.layer_norm_rms_epsilon", GgufValue::of_f32(1e-5f)},
  };
  for (auto& entry : outsize::tokenizer_gguf_metadata(model, rows)) metadata.push_back(entry);
  outsize::GgufWriter(path, metadata, {}).finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenize_tool MODEL [--special] < texts\n");
    return 2;
  }
  const std::string model = argv[1];
  const std::string_view mode = argc > 2 ? argv[2] : "";
  const std::string target = argc > 3 ? argv[3] : "";
  try {
    if (mode == "--export-hf") {
      std::filesystem::create_directories(target);
      outsize::export_tokenizer_to_hf(model, target);
    } else if (mode == "--export-gguf") {
      export_gguf(model, target);
    } else {
      tokenize(model, mode == "--special");
    }
  } catch (const outsize::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
