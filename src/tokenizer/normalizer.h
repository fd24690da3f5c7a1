// The normalizer of a tokenizer.json: rewrites text before it is cut into pieces. A kind is one
// function and one line of the list in normalizer.cc.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace outsize {

class Normalizer {
 public:
  using Step = std::function<std::string(std::string_view)>;

  // From the JSON value (null: none). Throws Unsupported for unknown kinds, InvalidArgument for
  // malformed ones; `file` is named in messages.
  static Normalizer from_json(const nlohmann::json& value, const std::string& file);

  bool empty() const { return steps_.empty(); }
  // `text` is valid UTF-8.
  std::string apply(std::string_view text) const;

 private:
  void add(const nlohmann::json& value, const std::string& file, int depth);

  std::vector<Step> steps_;
};

}  // namespace outsize
