// Byte-pair encoding by ranked merges: byte-level (GPT-2 and most since) or on characters with byte
// fallback (Llama 2 and Gemma in their tokenizer.json form).
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/piece_encoder.h"
#include "tokenizer/string_index.h"

namespace outsize {

struct BpeOptions {
  bool byte_level = true;      // symbols are bytes; otherwise characters of valid UTF-8
  bool byte_fallback = false;  // a character without token becomes its <0xNN> tokens
  bool ignore_merges = false;  // a piece that is a token is that token
  bool fuse_unk = false;       // neighbouring unknown characters become one unknown token
  TokenId unk = -1;            // -1: unknown characters vanish
};

struct BpeMerge {
  TokenId left, right, result;
};

// Equal pairs of ids -> rank and result; open addressing.
class MergeTable {
 public:
  explicit MergeTable(const std::vector<BpeMerge>& merges);
  MergeResult find(TokenId left, TokenId right) const;

 private:
  struct Slot {
    std::uint64_t pair;
    MergeResult result;
  };
  std::size_t slot_of(std::uint64_t pair) const;

  std::vector<Slot> slots_;  // result.id < 0: free
};

class Bpe final : public PieceEncoder {
 public:
  // `vocabulary` spells tokens in the bytes of the text they stand for (byte-level) or in the text
  // itself. `merges`, best first, holds ids of it; of a pair given twice the later rank counts.
  Bpe(BpeOptions options, StringIndex vocabulary, const std::vector<BpeMerge>& merges);

 private:
  void encode_part(std::string_view part, EncodeScratch& scratch,
                   std::vector<TokenId>& out) const override;
  void add_byte_symbols(std::string_view part, std::vector<MergeSymbol>& symbols) const;
  void add_character_symbols(std::string_view part, std::vector<MergeSymbol>& symbols) const;
  bool add_fallback_bytes(std::string_view character, std::uint32_t begin,
                          std::vector<MergeSymbol>& symbols) const;
  void find_joins(const std::vector<BpeMerge>& merges);

  BpeOptions options_;
  StringIndex vocabulary_;
  MergeTable merges_;
  std::array<TokenId, 256> byte_ids_;  // byte-level: the byte's own token; else its <0xNN>
};

}  // namespace outsize
