// From a piece of text that no merge crosses to ids. The base class cuts long pieces where no token
// can join the two sides and remembers short ones; models say how a part is encoded.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "tokenizer/merge.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

// Direct-mapped memory of recent short words. 2 MiB; a new word replaces the one in its slot.
class WordCache {
 public:
  WordCache();
  // Appends the ids and returns true when the word is known.
  bool find(std::string_view word, std::vector<TokenId>& out) const;
  // Does nothing when word or ids are too long for a slot.
  void store(std::string_view word, const TokenId* ids, std::size_t count);

 private:
  static constexpr std::size_t kSlots = std::size_t{1} << 15;
  struct Slot {  // one cache line
    std::uint8_t bytes = 0, count = 0;
    char word[22];
    TokenId ids[10];
  };
  static_assert(sizeof(Slot) == 64);

  std::vector<Slot> slots_;
};

// Working memory of one running encode().
struct EncodeScratch {
  WordCache cache;
  Merger merger;
  std::vector<MergeSymbol> symbols;
};

// Lends scratch to concurrent encode() calls and keeps it, warm, for the next ones.
class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool);
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    EncodeScratch& operator*() { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<EncodeScratch> scratch_;
  };

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeScratch>> free_;
};

// The pairs of characters that stand side by side inside some token. Where a text has another pair,
// no merge crosses. A Bloom filter: a false yes costs a cut, never a wrong id.
class JoinFilter {
 public:
  void add(std::string_view left_character, std::string_view right_character);
  // Every pair of neighbours in `token`.
  void add_inside(std::string_view token);
  bool empty() const { return bits_.empty(); }
  bool may_join(std::uint32_t left, std::uint32_t right) const {
    const std::uint32_t bit = bit_of(left, right);
    return bits_[bit / 64] >> bit % 64 & 1;
  }
  // The up to four bytes of a character as one number.
  static std::uint32_t pack(std::string_view character);

 private:
  static constexpr int kBits = 21;
  static std::uint32_t bit_of(std::uint32_t left, std::uint32_t right) {
    return ((left * 0x9E3779B1u) ^ (right * 0x85EBCA77u + (right >> 15))) * 0xC2B2AE3Du >>
           (32 - kBits);
  }

  std::vector<std::uint64_t> bits_;
};

class PieceEncoder {
 public:
  virtual ~PieceEncoder() = default;
  // Appends the ids of `piece` (below 4 GiB).
  void encode(std::string_view piece, EncodeScratch& scratch, std::vector<TokenId>& out) const;

 protected:
  virtual void encode_part(std::string_view part, EncodeScratch& scratch,
                           std::vector<TokenId>& out) const = 0;

  JoinFilter joins_;  // empty: pieces are not cut

 private:
  void encode_cached(std::string_view part, EncodeScratch& scratch,
                     std::vector<TokenId>& out) const;
};

}  // namespace outsize
