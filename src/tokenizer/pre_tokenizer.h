// The pre_tokenizer of a tokenizer.json: cuts normalized text into pieces that no merge crosses.
// A kind of step is one function and one line of the list in pre_tokenizer.cc.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/known_split.h"

namespace outsize {

// Text under cutting. Steps that write characters (a prefix space, U+2581) replace the text.
struct Pieces {
  std::string_view text;
  std::string storage;      // backs `text` once a step has rewritten it
  std::vector<Span> spans;  // not empty ones, in order
  bool at_start = true;     // nothing of the original text stands before `text`
};

class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

class PreTokenizer {
 public:
  // From the JSON value (null: no step). Throws Unsupported for unknown kinds, InvalidArgument for
  // malformed ones; `file` is named in messages.
  static PreTokenizer from_json(const nlohmann::json& value, const std::string& file);
  // A list of patterns, applied one after the other (GGUF vocabularies name theirs by label).
  static PreTokenizer from_patterns(const std::vector<std::string_view>& patterns, Peer peer);

  void split(Pieces& pieces) const;
  // Whether pieces reach the model as bytes.
  bool byte_level() const { return byte_level_; }
  // The one published pattern this amounts to, None when it is another.
  KnownPattern known_pattern() const { return known_pattern_; }

 private:
  void add(const nlohmann::json& value, const std::string& file, int depth);

  std::vector<std::shared_ptr<const PreTokenizerStep>> steps_;
  bool byte_level_ = false;
  KnownPattern known_pattern_ = KnownPattern::None;
};

}  // namespace outsize
