#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>

#include "tokenizer/spelling.h"
#include "tokenizer/utf8.h"

namespace outsize {

namespace {

std::uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 |
         static_cast<std::uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(const std::vector<BpeMerge>& merges)
    : slots_(std::bit_ceil(2 * merges.size() + 16), Slot{}) {
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t pair = pair_key(merges[rank].left, merges[rank].right);
    slots_[slot_of(pair)] = {pair, {static_cast<std::int32_t>(rank), merges[rank].result}};
  }
}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = (pair * 0x9E3779B97F4A7C15ull >> 20) & mask;
  while (slots_[slot].result.id >= 0 && slots_[slot].pair != pair) slot = (slot + 1) & mask;
  return slot;
}

MergeResult MergeTable::find(TokenId left, TokenId right) const {
  return slots_[slot_of(pair_key(left, right))].result;
}

Bpe::Bpe(BpeOptions options, StringIndex vocabulary, const std::vector<BpeMerge>& merges)
    : options_(options), vocabulary_(std::move(vocabulary)), merges_(merges) {
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    byte_ids_[byte] =
        vocabulary_.find(options_.byte_level ? std::string(1, text) : byte_token_text(byte));
  }
  if (!options_.byte_level) find_joins(merges);
}

// Characters that stand on the two sides of a merge. Unknown tokens may fuse across any boundary
// and byte tokens do not spell their text, so where they can take part pieces stay whole.
void Bpe::find_joins(const std::vector<BpeMerge>& merges) {
  if (!options_.byte_fallback || std::count(byte_ids_.begin(), byte_ids_.end(), -1) > 0) return;
  std::vector<std::string_view> spelling;
  vocabulary_.for_each([&](std::string_view text, TokenId id) {
    if (static_cast<std::size_t>(id) >= spelling.size()) spelling.resize(id + 1);
    spelling[id] = text;
  });
  JoinFilter joins;
  for (const BpeMerge& merge : merges) {
    for (const TokenId side : {merge.left, merge.right}) {
      if (std::find(byte_ids_.begin(), byte_ids_.end(), side) != byte_ids_.end()) return;
    }
    const std::string_view left = spelling[merge.left], right = spelling[merge.right];
    if (left.empty() || right.empty()) return;
    const std::string_view right_character =
        right.substr(0, utf8_length(static_cast<unsigned char>(right[0])));
    joins.add(left.substr(previous_character(left, left.size())), right_character);
  }
  joins_ = std::move(joins);
}

void Bpe::encode_part(std::string_view part, EncodeScratch& scratch,
                      std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    const TokenId id = vocabulary_.find(part);
    if (id >= 0) return out.push_back(id);
  }
  std::vector<MergeSymbol>& symbols = scratch.symbols;
  symbols.clear();
  if (options_.byte_level) {
    add_byte_symbols(part, symbols);
  } else {
    add_character_symbols(part, symbols);
  }
  scratch.merger.run(symbols, [this](const MergeSymbol& left, const MergeSymbol& right) {
    return merges_.find(left.id, right.id);
  });
  for (const MergeSymbol& symbol : symbols) out.push_back(symbol.id);
}

void Bpe::add_byte_symbols(std::string_view part, std::vector<MergeSymbol>& symbols) const {
  std::uint32_t unknown = 0;  // bytes of the unknown token that is being gathered
  for (std::uint32_t at = 0; at < part.size(); ++at) {
    const TokenId id = byte_ids_[static_cast<unsigned char>(part[at])];
    if (id >= 0) {
      symbols.push_back({at, 1, id});
      unknown = 0;
    } else if (options_.unk >= 0) {
      if (options_.fuse_unk && unknown > 0) {
        ++symbols.back().bytes;
      } else {
        symbols.push_back({at, 1, options_.unk});
      }
      ++unknown;
    }
  }
}

// An unknown token waits until the next known character: byte tokens overtake it, as they do in the
// tokenizers library.
void Bpe::add_character_symbols(std::string_view part, std::vector<MergeSymbol>& symbols) const {
  MergeSymbol unknown{0, 0, options_.unk};
  const auto flush = [&] {
    if (unknown.bytes > 0) symbols.push_back(unknown);
    unknown.bytes = 0;
  };
  for (std::uint32_t at = 0; at < part.size();) {
    const auto bytes =
        static_cast<std::uint32_t>(utf8_length(static_cast<unsigned char>(part[at])));
    const std::string_view character = part.substr(at, bytes);
    const TokenId id = vocabulary_.find(character);
    if (id >= 0) {
      flush();
      symbols.push_back({at, bytes, id});
    } else if (!options_.byte_fallback || !add_fallback_bytes(character, at, symbols)) {
      if (!options_.fuse_unk) flush();
      if (unknown.bytes == 0) unknown.begin = at;
      if (options_.unk >= 0) unknown.bytes += bytes;
    }
    at += bytes;
  }
  flush();
}

bool Bpe::add_fallback_bytes(std::string_view character, std::uint32_t begin,
                             std::vector<MergeSymbol>& symbols) const {
  for (const char byte : character) {
    if (byte_ids_[static_cast<unsigned char>(byte)] < 0) return false;
  }
  for (const char byte : character) {
    symbols.push_back({begin++, 1, byte_ids_[static_cast<unsigned char>(byte)]});
  }
  return true;
}

}  // namespace outsize
