#include "tokenizer/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "formats/json.h"

namespace outsize {

namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{512} << 20;
constexpr std::size_t kMaxDepth = 64;
// Ids may have gaps (padded vocabularies), but tables are as long as the largest id.
constexpr std::int64_t kSparseFactor = 4, kSparseSlack = 65536;

// Receives parser events: routes model.vocab and model.merges into lists, builds a tree of the
// rest.
class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(TokenizerJson& out, json& root) : out_(out), root_(root) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return number(v); }
  bool number_unsigned(number_unsigned_t v) override {
    return number(static_cast<std::int64_t>(std::min<number_unsigned_t>(v, INT64_MAX)));
  }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool string(string_t& v) override {
    if (place_ == Place::Merges) return merge_text(v);
    if (place_ == Place::MergePair) return pair_.push_back(std::move(v)), true;
    return value(std::move(v));
  }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override {
    if (is_model_member("vocab")) return place_ = Place::Vocabulary, true;
    return open(json::object());
  }
  bool start_array(std::size_t) override {
    if (is_model_member("merges")) return place_ = Place::Merges, true;
    if (place_ == Place::Merges) return pair_.clear(), place_ = Place::MergePair, true;
    return open(json::array());
  }
  bool key(string_t& name) override {
    if (place_ == Place::Vocabulary) return token_ = std::move(name), true;
    keys_.resize(stack_.size());
    keys_.back() = name;
    slot_ = &(*stack_.back())[std::move(name)];
    return true;
  }
  bool end_object() override {
    if (place_ == Place::Vocabulary) return place_ = Place::Tree, true;
    return stack_.pop_back(), true;
  }
  bool end_array() override {
    if (place_ == Place::Merges) return place_ = Place::Tree, true;
    if (place_ == Place::MergePair) return end_pair();
    return stack_.pop_back(), true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    fail(ErrorKind::Corruption, "[{}] not valid JSON at byte {}", out_.file, position);
  }

 private:
  enum class Place { Tree, Vocabulary, Merges, MergePair };

  bool is_model_member(const char* name) const {
    return place_ == Place::Tree && stack_.size() == 2 && keys_.size() == 2 &&
           keys_[0] == "model" && keys_[1] == name && stack_.back()->is_object();
  }

  template <class Value>
  bool value(Value&& v) {
    if (place_ == Place::Vocabulary) {
      fail(ErrorKind::InvalidArgument, "[{}] model.vocab: '{}' must have a whole number", out_.file,
           token_);
    }
    if (place_ != Place::Tree) {
      fail(ErrorKind::InvalidArgument, "[{}] model.merges: merge {} must be text or two texts",
           out_.file, out_.merges.size());
    }
    next() = std::forward<Value>(v);
    return true;
  }

  bool number(std::int64_t v) {
    if (place_ != Place::Vocabulary) return value(v);
    if (v < 0 || v > std::numeric_limits<TokenId>::max() / 2) {
      fail(ErrorKind::InvalidArgument, "[{}] model.vocab: id of '{}' out of range; got {}",
           out_.file, token_, v);
    }
    out_.vocabulary.emplace_back(std::move(token_), static_cast<TokenId>(v));
    return true;
  }

  // "a b"; neither side may hold a space.
  bool merge_text(const std::string& text) {
    if (text.starts_with("#version")) return true;
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      fail(ErrorKind::InvalidArgument, "[{}] model.merges: merge {} must be two parts; got '{}'",
           out_.file, out_.merges.size(), text);
    }
    out_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    return true;
  }

  bool end_pair() {
    if (pair_.size() != 2) {
      fail(ErrorKind::InvalidArgument, "[{}] model.merges: merge {} must be two parts; got {}",
           out_.file, out_.merges.size(), pair_.size());
    }
    out_.merges.emplace_back(std::move(pair_[0]), std::move(pair_[1]));
    place_ = Place::Merges;
    return true;
  }

  json& next() {
    if (stack_.empty()) return root_;
    if (stack_.back()->is_array()) return stack_.back()->emplace_back();
    return *slot_;
  }

  bool open(json container) {
    if (place_ != Place::Tree) return value(nullptr);  // fails, naming the place
    if (stack_.size() >= kMaxDepth) {
      fail(ErrorKind::Corruption, "[{}] nested deeper than {}", out_.file, kMaxDepth);
    }
    json& target = next();
    target = std::move(container);
    stack_.push_back(&target);
    return true;
  }

  TokenizerJson& out_;
  json& root_;
  std::vector<json*> stack_;
  json* slot_ = nullptr;
  std::vector<std::string> keys_;  // of the open objects, outermost first
  Place place_ = Place::Tree;
  std::string token_;
  std::vector<std::string> pair_;
};

std::vector<AddedToken> read_added_tokens(const TokenizerJson& parsed) {
  std::vector<AddedToken> added;
  const json& list = parsed.at("added_tokens");
  if (list.is_null()) return added;
  std::unordered_map<std::string_view, TokenId> known;
  for (const auto& [text, id] : parsed.vocabulary) known[text] = id;
  if (!list.is_array()) {
    fail(ErrorKind::InvalidArgument, "[{}] added_tokens must be a list", parsed.file);
  }
  for (const json& item : list) {
    const JsonFields fields(item, parsed.file, "added_tokens.");
    AddedToken token;
    token.id =
        static_cast<TokenId>(fields.integer("id", 0, std::numeric_limits<TokenId>::max() / 2));
    token.text = fields.text("content");
    token.special = fields.boolean_or("special", false);
    token.left_strip = fields.boolean_or("lstrip", false);
    token.right_strip = fields.boolean_or("rstrip", false);
    token.single_word = fields.boolean_or("single_word", false);
    token.normalized = fields.boolean_or("normalized", !token.special);
    // As the tokenizers library does: a token of the vocabulary keeps its id.
    const auto in_vocabulary = known.find(token.text);
    if (in_vocabulary != known.end()) token.id = in_vocabulary->second;
    added.push_back(std::move(token));
  }
  return added;
}

void check_ids(TokenizerJson& parsed) {
  std::int64_t largest = -1;
  for (const auto& [text, id] : parsed.vocabulary) largest = std::max<std::int64_t>(largest, id);
  for (const AddedToken& token : parsed.added) largest = std::max<std::int64_t>(largest, token.id);
  const auto count = static_cast<std::int64_t>(parsed.vocabulary.size() + parsed.added.size());
  if (largest >= kSparseFactor * count + kSparseSlack) {
    fail(ErrorKind::InvalidArgument, "[{}] ids do not fit {} tokens; got id {}", parsed.file, count,
         largest);
  }
  parsed.size = largest + 1;
}

}  // namespace

const json& TokenizerJson::at(std::string_view field) const {
  static const json null;
  const auto found = rest->find(std::string(field));
  return found == rest->end() ? null : *found;
}

TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& file) {
  TokenizerJson parsed;
  parsed.file = file;
  const auto root = std::make_shared<json>();
  Reader reader(parsed, *root);
  json::sax_parse(text.begin(), text.end(), &reader);
  parsed.rest = root;
  if (!root->is_object()) fail(ErrorKind::InvalidArgument, "[{}] must be an object", file);
  const JsonFields model(parsed.at("model"), file, "model.");
  const std::string type = model.text_or("type", "BPE");
  if (type != "BPE") {
    fail(ErrorKind::Unsupported, "[{}] model.type; got '{}'; expected BPE", file, type);
  }
  if (parsed.vocabulary.empty()) {
    fail(ErrorKind::InvalidArgument, "[{}] model.vocab must be an object and not empty", file);
  }
  parsed.added = read_added_tokens(parsed);
  check_ids(parsed);
  return parsed;
}

TokenizerJson read_tokenizer_json(const std::string& path) {
  return parse_tokenizer_json(read_text(path, kMaxFileBytes), path);
}

}  // namespace outsize
