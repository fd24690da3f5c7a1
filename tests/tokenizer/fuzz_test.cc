// Damaged tokenizer files: a typed Error or a tokenizer that works, never a crash, a hang, or
// memory out of proportion. Seeds are fixed; a failure prints its own.
#include <gtest/gtest.h>

#include "core/error.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/samples.h"

namespace outsize {
namespace {

constexpr std::uint64_t kMutants = 12'000;

const char* const kFragments[] = {
    "-1",
    "0",
    "1e308",
    "9223372036854775807",
    "18446744073709551616",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\"(a+)+$\"",
    "\"(\"",
    "[[[[",
    "\"\\\\w+\"",
    ",",
    ":",
    "}",
    "\"a\"",
    "\"\\u0000\"",
    "\"▁\"",
    "2147483647",
    "\"Sequence\"",
    "\"Split\"",
    "\"Metaspace\"",
    "\"ByteLevel\"",
    "\"String\"",
    "\"Isolated\"",
};

std::string mutate(const std::string& seed_text, std::mt19937_64& random) {
  std::string text = seed_text;
  const int edits = 1 + static_cast<int>(random() % 3);
  for (int i = 0; i < edits && !text.empty(); ++i) {
    const std::size_t at = random() % text.size();
    const std::size_t length = 1 + random() % (random() % 4 == 0 ? 200 : 8);
    switch (random() % 6) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(random() % text.size(), length));
        break;
      case 3:
        text.resize(at);
        break;
      default: {  // a value for a value keeps the JSON whole
        const std::size_t colon = text.find_first_of(":,[", at);
        if (colon == std::string::npos) break;
        const std::size_t end = text.find_first_of(",]}", colon + 1);
        if (end == std::string::npos) break;
        text.replace(colon + 1, end - colon - 1, kFragments[random() % std::size(kFragments)]);
      }
    }
  }
  return text;
}

void use(const Tokenizer& tokenizer) {
  for (const char* text :
       {"", "abc ab  c\n12 <s></s> <é> zzz é", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}) {
    const std::vector<TokenId> ids = tokenizer.encode(text, true);
    tokenizer.decode(ids, true);
    for (const TokenId id : ids) ASSERT_LT(id, tokenizer.vocabulary_size());
  }
}

TEST(Fuzz, TokenizerJson) {
  const std::string seed_text = small_tokenizer_json();
  use(*make_hf_tokenizer(parse_tokenizer_json(seed_text, "seed"), {}));
  std::uint64_t accepted = 0;
  for (std::uint64_t seed = 0; seed < kMutants; ++seed) {
    std::mt19937_64 random(seed);
    const std::string text = mutate(seed_text, random);
    try {
      use(*make_hf_tokenizer(parse_tokenizer_json(text, "mutant"), {}));
      ++accepted;
    } catch (const Error& error) {
      ASSERT_NE(error.kind(), ErrorKind::Internal) << "seed " << seed << ": " << error.what();
    } catch (const std::exception& error) {
      FAIL() << "seed " << seed << ": " << error.what() << "\n" << text;
    }
  }
  EXPECT_GT(accepted, kMutants / 100);
  EXPECT_LT(accepted, kMutants * 9 / 10);
}

void fuzz_gguf(const std::filesystem::path& seed_path) {
  const std::string seed_bytes = read_file(seed_path);
  TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "mutant.gguf";
  std::uint64_t accepted = 0;
  for (std::uint64_t seed = 0; seed < kMutants / 2; ++seed) {
    std::mt19937_64 random(seed);
    std::string bytes = seed_bytes;
    for (int edit = static_cast<int>(random() % 4); edit >= 0; --edit) {
      // Half of them hit the keys before the token list, where every byte matters.
      const std::size_t at = random() % (random() % 2 == 0 ? 1000 : bytes.size());
      switch (random() % 8) {
        case 0:
          bytes.resize(at + 1);
          break;
        case 1:
          bytes.erase(at, 1 + random() % 9);
          break;
        case 2:
          bytes.insert(at, bytes.substr(random() % bytes.size(), 1 + random() % 9));
          break;
        default:
          bytes[at] = static_cast<char>(random() % 3 == 0 ? 0xFF : random());
      }
      if (bytes.size() < 1001) break;
    }
    write_file(path, bytes);
    try {
      use(*load_tokenizer(path));
      ++accepted;
    } catch (const Error& error) {
      ASSERT_NE(error.kind(), ErrorKind::Internal) << "seed " << seed << ": " << error.what();
    } catch (const std::exception& error) {
      FAIL() << "seed " << seed << ": " << error.what();
    }
  }
  EXPECT_GT(accepted, kMutants / 100);
  EXPECT_LT(accepted, kMutants / 2 * 9 / 10);
}

TEST(Fuzz, GgufSentencePiece) {
  fuzz_gguf(data_folder() / "spm.gguf");
}
TEST(Fuzz, GgufByteLevel) {
  fuzz_gguf(data_folder() / "llama3.gguf");
}

}  // namespace
}  // namespace outsize
