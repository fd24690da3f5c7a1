#include "data/sample.h"

#include <algorithm>

namespace outsize {
namespace {

// Appends the ids of `text`, with BOS before them if the model wants it and they lack it.
void begin_document(std::string_view text, const Tokenizer& tokenizer, bool parse_special,
                    std::vector<TokenId>& ids) {
  const std::size_t before = ids.size();
  const bool adds_bos = tokenizer.adds_bos() && tokenizer.bos_id() >= 0;
  if (adds_bos) ids.push_back(tokenizer.bos_id());
  tokenizer.encode(text, parse_special, ids);
  const bool doubled = adds_bos && ids.size() > before + 1 && ids[before + 1] == tokenizer.bos_id();
  if (doubled) ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(before));
}

void end_document(const Tokenizer& tokenizer, std::vector<TokenId>& ids) {
  if (tokenizer.eos_id() < 0) return;
  if (ids.empty() || ids.back() != tokenizer.eos_id()) ids.push_back(tokenizer.eos_id());
}

}  // namespace

bool render_row(const Row& row, const Tokenizer& tokenizer, bool parse_special, DataSample& sample,
                RowProblem& problem) {
  sample.ids.clear();
  sample.first_trained = 1;
  if (row.has_text) {
    begin_document(row.text, tokenizer, parse_special, sample.ids);
  } else {
    if (tokenizer.eos_id() < 0) {
      problem = {"completion", "cannot be ended: the tokenizer has no end token; expected one"};
      return false;
    }
    begin_document(row.prompt, tokenizer, parse_special, sample.ids);
    sample.first_trained = std::max<std::int64_t>(1, static_cast<std::int64_t>(sample.ids.size()));
    tokenizer.encode(row.completion, parse_special, sample.ids);
  }
  end_document(tokenizer, sample.ids);
  if (static_cast<std::int64_t>(sample.ids.size()) > sample.first_trained) return true;
  problem = {row.has_text ? "text" : "completion",
             "has no token to train; expected at least one after the first token of the sample"};
  return false;
}

void render_piece(std::string_view text, bool begins, bool ends, const Tokenizer& tokenizer,
                  bool parse_special, std::vector<TokenId>& ids) {
  ids.clear();
  if (text.empty() && begins && ends) return;
  if (begins) {
    begin_document(text, tokenizer, parse_special, ids);
  } else {
    tokenizer.encode(text, parse_special, ids);
  }
  if (ends) end_document(tokenizer, ids);
}

}  // namespace outsize
