#include "tokenizer/piece_encoder.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "tokenizer/utf8.h"

namespace outsize {

WordCache::WordCache() : slots_(kSlots) {}

bool WordCache::find(std::string_view word, std::vector<TokenId>& out) const {
  if (word.size() > sizeof(Slot::word)) return false;
  const Slot& slot = slots_[XXH3_64bits(word.data(), word.size()) % kSlots];
  if (slot.bytes != word.size() || slot.count == 0 ||
      std::memcmp(slot.word, word.data(), word.size()) != 0) {
    return false;
  }
  out.insert(out.end(), slot.ids, slot.ids + slot.count);
  return true;
}

void WordCache::store(std::string_view word, const TokenId* ids, std::size_t count) {
  if (word.size() > sizeof(Slot::word) || count == 0 || count > std::size(Slot{}.ids)) return;
  Slot& slot = slots_[XXH3_64bits(word.data(), word.size()) % kSlots];
  slot.bytes = static_cast<std::uint8_t>(word.size());
  slot.count = static_cast<std::uint8_t>(count);
  std::memcpy(slot.word, word.data(), word.size());
  std::copy(ids, ids + count, slot.ids);
}

ScratchPool::Lease::Lease(ScratchPool& pool) : pool_(pool) {
  {
    std::lock_guard lock(pool_.mutex_);
    if (!pool_.free_.empty()) {
      scratch_ = std::move(pool_.free_.back());
      pool_.free_.pop_back();
    }
  }
  if (!scratch_) scratch_ = std::make_unique<EncodeScratch>();
}

ScratchPool::Lease::~Lease() {
  std::lock_guard lock(pool_.mutex_);
  pool_.free_.push_back(std::move(scratch_));
}

std::uint32_t JoinFilter::pack(std::string_view character) {
  std::uint32_t packed = 0;
  std::memcpy(&packed, character.data(), std::min<std::size_t>(character.size(), 4));
  return packed;
}

void JoinFilter::add(std::string_view left_character, std::string_view right_character) {
  if (bits_.empty()) bits_.assign((std::size_t{1} << kBits) / 64, 0);
  const std::uint32_t bit = bit_of(pack(left_character), pack(right_character));
  bits_[bit / 64] |= std::uint64_t{1} << bit % 64;
}

namespace {

std::string_view character_at(std::string_view text, std::size_t at) {
  return text.substr(at, utf8_length(static_cast<unsigned char>(text[at])));
}

}  // namespace

void JoinFilter::add_inside(std::string_view token) {
  if (token.empty()) return;
  std::string_view left = character_at(token, 0);
  for (std::size_t at = left.size(); at < token.size();) {
    const std::string_view right = character_at(token, at);
    add(left, right);
    at += right.size();
    left = right;
  }
}

void PieceEncoder::encode(std::string_view piece, EncodeScratch& scratch,
                          std::vector<TokenId>& out) const {
  if (piece.empty()) return;
  if (joins_.empty()) return encode_cached(piece, scratch, out);
  std::size_t begin = 0;
  std::string_view character = character_at(piece, 0);
  std::uint32_t left = JoinFilter::pack(character);
  for (std::size_t at = character.size(); at < piece.size();) {
    character = character_at(piece, at);
    const std::uint32_t right = JoinFilter::pack(character);
    if (!joins_.may_join(left, right)) {
      encode_cached(piece.substr(begin, at - begin), scratch, out);
      begin = at;
    }
    at += character.size();
    left = right;
  }
  encode_cached(piece.substr(begin), scratch, out);
}

void PieceEncoder::encode_cached(std::string_view part, EncodeScratch& scratch,
                                 std::vector<TokenId>& out) const {
  if (scratch.cache.find(part, out)) return;
  const std::size_t before = out.size();
  encode_part(part, scratch, out);
  scratch.cache.store(part, out.data() + before, out.size() - before);
}

}  // namespace outsize
