// The merge loop and what is built on it, against direct readings of their definitions.
#include "tokenizer/merge.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <random>

#include "core/error.h"
#include "tokenizer/bpe.h"
#include "tokenizer/spelling.h"
#include "tokenizer/spm.h"

namespace outsize {
namespace {

using Ids = std::vector<TokenId>;

// A random vocabulary over a few letters in which every token is the join of two others.
struct RandomVocabulary {
  std::vector<std::string> tokens;
  std::vector<BpeMerge> merges;

  explicit RandomVocabulary(std::mt19937_64& random) {
    tokens = {"a", "b", "c", "語"};
    while (tokens.size() < 40) {
      const auto left = static_cast<TokenId>(random() % tokens.size());
      const auto right = static_cast<TokenId>(random() % tokens.size());
      const std::string joined = tokens[left] + tokens[right];
      if (joined.size() > 12 || std::find(tokens.begin(), tokens.end(), joined) != tokens.end()) {
        continue;
      }
      merges.push_back({left, right, static_cast<TokenId>(tokens.size())});
      tokens.push_back(joined);
    }
  }
};

// Repeatedly the best pair, the leftmost of equals, by looking at all pairs.
template <class Rank>
Ids merge_directly(Ids ids, const Rank& rank) {
  for (;;) {
    MergeResult best;
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const MergeResult result = rank(ids[i], ids[i + 1]);
      if (result.rank < best.rank) {
        best = result;
        place = i;
      }
    }
    if (best.rank == MergeResult::kNone) return ids;
    ids[place] = best.id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

std::string random_letters(std::mt19937_64& random, Ids& ids) {
  static const std::string kLetters[] = {"a", "b", "c", "語"};
  std::string text;
  const std::size_t length = 1 + random() % (random() % 4 == 0 ? 300 : 20);
  const std::size_t kinds = 1 + random() % 4;
  for (std::size_t i = 0; i < length; ++i) {
    ids.push_back(static_cast<TokenId>(random() % kinds));
    text += kLetters[ids.back()];
  }
  return text;
}

TEST(Bpe, MergesByRank) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 400; ++round) {
    const RandomVocabulary vocabulary(random);
    StringIndex index;
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      index.insert(vocabulary.tokens[id], static_cast<TokenId>(id));
    }
    for (int byte = 0; byte < 256; ++byte) {  // with all of them, pieces are cut
      index.insert(byte_token_text(static_cast<unsigned char>(byte)), 1000 + byte);
    }
    const MergeTable table(vocabulary.merges);
    BpeOptions options;
    options.byte_level = false;
    options.byte_fallback = true;
    const Bpe bpe(options, index, vocabulary.merges);
    EncodeScratch scratch;
    for (int i = 0; i < 20; ++i) {
      Ids start, ids;
      const std::string text = random_letters(random, start);
      bpe.encode(text, scratch, ids);
      ASSERT_EQ(ids, merge_directly(start, [&](TokenId left,
                                               TokenId right) { return table.find(left, right); }))
          << text;
    }
  }
}

TEST(Spm, MergesByScore) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 400; ++round) {
    const RandomVocabulary vocabulary(random);
    std::vector<float> scores;
    for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
      scores.push_back(-static_cast<float>(random() % 30));  // some are equal
    }
    const Spm spm(vocabulary.tokens, scores, -1);
    const auto find = [&](const std::string& text) {
      const auto found = std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), text);
      return found == vocabulary.tokens.end()
                 ? -1
                 : static_cast<TokenId>(found - vocabulary.tokens.begin());
    };
    EncodeScratch scratch;
    for (int i = 0; i < 20; ++i) {
      Ids start, ids;
      const std::string text = random_letters(random, start);
      spm.encode(text, scratch, ids);
      ASSERT_EQ(ids, merge_directly(
                         start,
                         [&](TokenId left, TokenId right) {
                           const TokenId id =
                               find(vocabulary.tokens[left] + vocabulary.tokens[right]);
                           return id < 0 ? MergeResult{}
                                         : MergeResult{static_cast<std::int32_t>(-scores[id]), id};
                         }))
          << text;
    }
  }
}

TEST(Bpe, UnknownCharacters) {
  StringIndex index;
  index.insert("a", 0);
  index.insert("<unk>", 1);
  EncodeScratch scratch;
  const auto encode = [&](bool fuse, TokenId unk) {
    BpeOptions options;
    options.byte_level = false;
    options.fuse_unk = fuse;
    options.unk = unk;
    Ids ids;
    EncodeScratch fresh;
    Bpe(options, index, {}).encode("xyaéz", fresh, ids);
    return ids;
  };
  EXPECT_EQ(encode(false, 1), (Ids{1, 1, 0, 1, 1}));
  EXPECT_EQ(encode(true, 1), (Ids{1, 0, 1}));
  EXPECT_EQ(encode(true, -1), (Ids{0}));
}

TEST(WordCache, ForgetsButNeverLies) {
  WordCache cache;
  Ids out;
  EXPECT_FALSE(cache.find("word", out));
  const TokenId ids[] = {1, 2, 3};
  cache.store("word", ids, 3);
  ASSERT_TRUE(cache.find("word", out));
  EXPECT_EQ(out, (Ids{1, 2, 3}));
  const std::string too_long(23, 'x');
  cache.store(too_long, ids, 3);
  EXPECT_FALSE(cache.find(too_long, out));
  const Ids many(11, 1);
  cache.store("many", many.data(), many.size());
  EXPECT_FALSE(cache.find("many", out));
  for (int i = 0; i < 100'000; ++i) {  // more words than slots
    const TokenId id[] = {i};
    cache.store(fmt::format("w{}", i), id, 1);
  }
  for (int i = 0; i < 100'000; ++i) {
    out.clear();
    if (cache.find(fmt::format("w{}", i), out)) {
      ASSERT_EQ(out, Ids{i});
    }
  }
}

TEST(StringIndex, TakesTheNewerId) {
  StringIndex index;
  for (int i = 0; i < 5000; ++i) index.insert(std::to_string(i % 3000), i);
  EXPECT_EQ(index.size(), 3000u);
  EXPECT_EQ(index.find("1999"), 4999);
  EXPECT_EQ(index.find("2999"), 2999);
  EXPECT_EQ(index.find("3000"), -1);
  EXPECT_EQ(index.find(""), -1);
}

}  // namespace
}  // namespace outsize
