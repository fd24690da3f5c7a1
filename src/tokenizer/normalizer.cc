#include "tokenizer/normalizer.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "formats/json.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace outsize {

namespace {

constexpr int kMaxDepth = 16;
// A Replace may lengthen text; files in use write at most three bytes for one.
constexpr std::size_t kMaxContentBytes = 64;

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(from, done)) != std::string_view::npos;) {
    out.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return out.append(text.substr(done));
}

Normalizer::Step make_replace(const JsonFields& fields) {
  const JsonFields pattern = fields.object("pattern");
  const std::string content = fields.text("content");
  if (content.size() > kMaxContentBytes) fields.fail_field("content", "is longer than 64 bytes");
  if (!pattern.has("Regex")) {
    const std::string from = pattern.text("String");
    if (from.empty()) fields.fail_field("pattern", "is empty");
    return [from, content](std::string_view text) { return replace_all(text, from, content); };
  }
  const auto regex =
      std::make_shared<const Regex>(pattern.text("Regex"), fields.file() + ": normalizer.pattern");
  return [regex, content](std::string_view text) {
    std::string out;
    std::size_t done = 0;
    regex->for_each_match(text, [&](std::size_t begin, std::size_t end) {
      out.append(text.substr(done, begin - done)).append(content);
      done = end;
    });
    return out.append(text.substr(done));
  };
}

Normalizer::Step make_prepend(const JsonFields& fields) {
  const std::string prefix = fields.text("prepend");
  if (prefix.size() > kMaxContentBytes) fields.fail_field("prepend", "is longer than 64 bytes");
  return [prefix](std::string_view text) {
    return text.empty() ? std::string() : prefix + std::string(text);
  };
}

template <NormalForm form>
Normalizer::Step make_form(const JsonFields&) {
  return [](std::string_view text) { return normalize(text, form); };
}

struct Kind {
  const char* name;
  Normalizer::Step (*make)(const JsonFields&);
};
constexpr Kind kKinds[] = {
    {"Replace", make_replace},
    {"Prepend", make_prepend},
    {"NFC", make_form<NormalForm::Nfc>},
    {"NFD", make_form<NormalForm::Nfd>},
    {"NFKC", make_form<NormalForm::Nfkc>},
    {"NFKD", make_form<NormalForm::Nfkd>},
};

}  // namespace

Normalizer Normalizer::from_json(const nlohmann::json& value, const std::string& file) {
  Normalizer result;
  if (!value.is_null()) result.add(value, file, 0);
  return result;
}

void Normalizer::add(const nlohmann::json& value, const std::string& file, int depth) {
  const JsonFields fields(value, file, "normalizer.");
  const std::string type = fields.text("type");
  if (type == "Sequence") {
    const nlohmann::json* list = fields.find("normalizers");
    if (list == nullptr || !list->is_array() || depth >= kMaxDepth) {
      fields.fail_field("normalizers", "must be a list, not nested deeply");
    }
    for (const auto& step : *list) add(step, file, depth + 1);
    return;
  }
  for (const Kind& kind : kKinds) {
    if (type == kind.name) return steps_.push_back(kind.make(fields));
  }
  fail(ErrorKind::Unsupported, "[{}] normalizer.type is not supported; got '{}'", file, type);
}

std::string Normalizer::apply(std::string_view text) const {
  std::string now(text);
  for (const Step& step : steps_) now = step(now);
  return now;
}

}  // namespace outsize
