// Steps that cut at matches of a pattern or at classes of characters.
#pragma once

#include <string>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"

namespace outsize {

// What becomes of the matched text.
enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

class RegexSplit final : public PreTokenizerStep {
 public:
  // With invert, what lies between the matches is treated as matched.
  RegexSplit(Regex regex, SplitBehavior behavior, bool invert);
  void apply(Pieces& pieces) const override;

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

class KnownSplit final : public PreTokenizerStep {
 public:
  KnownSplit(KnownPattern pattern, Peer peer) : pattern_(pattern), peer_(peer) {}
  void apply(Pieces& pieces) const override;

 private:
  KnownPattern pattern_;
  Peer peer_;
};

}  // namespace outsize
