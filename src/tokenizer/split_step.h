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
  KnownSplit(KnownPattern pattern, LongS long_s) : pattern_(pattern), long_s_(long_s) {}
  void apply(Pieces& pieces) const override;

 private:
  KnownPattern pattern_;
  LongS long_s_;
};

}  // namespace outsize
