// From the strings of a row to token ids and the mask of what is trained.
//
// text:               [BOS] text [EOS]                every token but the first is trained
// prompt/completion:  [BOS] prompt completion [EOS]   completion and EOS are trained
//
// BOS is added when the tokenizer adds one and the text does not already begin with it; EOS when
// the vocabulary has one and the text does not already end with it. Prompt and completion are
// tokenised apart, so the prompt's ids are those that generation will feed: the boundary is exact,
// and no token straddles it. A sample of n ids takes n − 1 positions: its last token is only ever a
// target.
#pragma once

#include <cstdint>
#include <vector>

#include "data/row.h"
#include "tokenizer/tokenizer.h"

namespace outsize {

struct DataSample {
  std::vector<TokenId> ids;
  // ids[i] is trained for i >= first_trained; at least 1, because nothing comes before ids[0].
  std::int64_t first_trained = 1;

  std::int64_t positions() const { return static_cast<std::int64_t>(ids.size()) - 1; }
};

// Fills `sample` from a checked row. Returns false and fills `problem` when a completion cannot be
// ended because the vocabulary has no end token, or nothing is left to train.
bool render_row(const Row& row, const Tokenizer& tokenizer, bool parse_special, DataSample& sample,
                RowProblem& problem);

// Fills `ids` with the tokens of a piece of a text document; a piece that begins or ends the
// document brings BOS or EOS as above. The empty document has none.
void render_piece(std::string_view text, bool begins, bool ends, const Tokenizer& tokenizer,
                  bool parse_special, std::vector<TokenId>& ids);

}  // namespace outsize
