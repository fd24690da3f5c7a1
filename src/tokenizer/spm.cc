#include "tokenizer/spm.h"

#include <algorithm>
#include <functional>

#include "tokenizer/spelling.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

std::vector<std::int32_t> rank_scores(const std::vector<float>& scores) {
  std::vector<float> order(scores);
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  std::vector<std::int32_t> ranks;
  ranks.reserve(scores.size());
  for (const float score : scores) {
    const auto place = std::lower_bound(order.begin(), order.end(), score, std::greater<>());
    ranks.push_back(static_cast<std::int32_t>(place - order.begin()));
  }
  return ranks;
}

}  // namespace

Spm::Spm(const std::vector<std::string>& tokens, const std::vector<float>& scores, TokenId unk)
    : index_(tokens.size()), ranks_(rank_scores(scores)) {
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    index_.insert(tokens[id], static_cast<TokenId>(id));
    joins_.add_inside(tokens[id]);
  }
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = index_.find(byte_token_text(byte));
    if (byte_ids_[byte] < 0) byte_ids_[byte] = index_.find(std::string(1, static_cast<char>(byte)));
    if (byte_ids_[byte] < 0) byte_ids_[byte] = unk;
  }
}

void Spm::encode_part(std::string_view part, EncodeScratch& scratch,
                      std::vector<TokenId>& out) const {
  std::vector<MergeSymbol>& symbols = scratch.symbols;
  symbols.clear();
  for (std::size_t at = 0; at < part.size();) {
    const std::size_t bytes =
        std::min<std::size_t>(utf8_length(static_cast<unsigned char>(part[at])), part.size() - at);
    symbols.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(bytes),
                       index_.find(part.substr(at, bytes))});
    at += bytes;
  }
  // By text, not by pairs of ids: a character without a token may still begin one.
  scratch.merger.run(symbols, [&](const MergeSymbol& left, const MergeSymbol& right) {
    const TokenId id = index_.find(part.substr(left.begin, left.bytes + right.bytes));
    return id < 0 ? MergeResult{} : MergeResult{ranks_[id], id};
  });
  for (const MergeSymbol& symbol : symbols) {
    if (symbol.id >= 0) {
      out.push_back(symbol.id);
      continue;
    }
    for (std::uint32_t i = 0; i < symbol.bytes; ++i) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(part[symbol.begin + i])];
      if (id >= 0) out.push_back(id);
    }
  }
}

}  // namespace outsize
