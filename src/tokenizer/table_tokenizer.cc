#include "tokenizer/table_tokenizer.h"

#include <algorithm>

#include "core/error.h"

namespace outsize {

namespace {

// Repairing and normalizing can triple a text, and pieces are addressed with 32 bits.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

}  // namespace

void TableTokenizer::check_text_size(std::string_view text) {
  if (text.size() <= kMaxTextBytes) return;
  fail(ErrorKind::InvalidArgument,
       "[tokenizer] text too long; got {} bytes; expected at most {}; try smaller documents",
       text.size(), kMaxTextBytes);
}

bool TableTokenizer::in_range(TokenId id) const {
  return id >= 0 && static_cast<std::size_t>(id) < tables_.bytes.size();
}

std::string TableTokenizer::token_bytes(TokenId id) const {
  return in_range(id) ? tables_.bytes[id] : std::string();
}

std::string TableTokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string text;
  for (const TokenId id : ids) {
    if (!in_range(id) || (skip_special && tables_.special[id])) continue;
    text += tables_.bytes[id];
  }
  if (tables_.strips_space && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::int64_t TableTokenizer::vocabulary_size() const {
  return static_cast<std::int64_t>(tables_.bytes.size());
}

bool TableTokenizer::is_special(TokenId id) const {
  return in_range(id) && tables_.special[id];
}

std::vector<TokenId> TableTokenizer::stop_ids() const {
  std::vector<TokenId> ids;
  if (tables_.eos >= 0) ids.push_back(tables_.eos);
  for (const TokenId id : tables_.stops) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

}  // namespace outsize
