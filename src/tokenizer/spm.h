// SentencePiece-style pair merging as llama.cpp does it for GGUF vocabularies of model "llama":
// neighbours merge when their joined text is a token, the best score first.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tokenizer/piece_encoder.h"
#include "tokenizer/string_index.h"

namespace outsize {

class Spm final : public PieceEncoder {
 public:
  // Token i is spelled tokens[i] (U+2581 for a space) and has scores[i], finite; of equal spellings
  // the last counts. A byte that no token covers becomes its <0xNN> token, else the one-byte token,
  // else `unk`; -1: it vanishes.
  Spm(const std::vector<std::string>& tokens, const std::vector<float>& scores, TokenId unk);

 private:
  void encode_part(std::string_view part, EncodeScratch& scratch,
                   std::vector<TokenId>& out) const override;

  StringIndex index_;
  std::vector<std::int32_t> ranks_;  // by id: 0 for the best score, equal for equal scores
  std::array<TokenId, 256> byte_ids_;
};

}  // namespace outsize
