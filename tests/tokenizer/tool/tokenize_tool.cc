// Prints ids for comparison with other libraries. Input on stdin: for each text its length in bytes
// in decimal, a line feed, then the bytes. Output: one JSON array per text and line.
// tokenize_tool MODEL [--special]
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>

#include "core/error.h"
#include "tokenizer/tokenizer.h"

namespace {

void print_ids(const std::vector<outsize::TokenId>& ids) {
  std::string line = "[";
  for (const outsize::TokenId id : ids) {
    if (line.size() > 1) line += ',';
    line += std::to_string(id);
  }
  line += "]\n";
  std::fwrite(line.data(), 1, line.size(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenize_tool MODEL [--special] < texts\n");
    return 2;
  }
  try {
    const auto tokenizer = outsize::load_tokenizer(argv[1]);
    const bool parse_special = argc > 2 && std::string_view(argv[2]) == "--special";
    std::string text, length;
    while (std::getline(std::cin, length)) {
      text.resize(std::stoull(length));
      std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
      print_ids(tokenizer->encode(text, parse_special));
    }
  } catch (const outsize::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
