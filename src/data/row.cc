#include "data/row.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "data/utf8.h"

namespace outsize {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxQuoted = 160;  // bytes of a parser's message shown to the user

enum Field { kText, kPrompt, kCompletion, kFieldCount };
constexpr std::array<const char*, kFieldCount> kFieldNames = {"text", "prompt", "completion"};

// The parser's own words without its "[json.exception…]" prefix, cut to a readable length.
std::string shorten(std::string_view message) {
  if (const std::size_t end = message.find("] "); end != std::string_view::npos)
    message.remove_prefix(end + 2);
  if (message.size() <= kMaxQuoted) return std::string(message);
  std::size_t bytes = kMaxQuoted;
  while (bytes > 0 && (static_cast<unsigned char>(message[bytes]) & 0xc0) == 0x80) --bytes;
  return std::string(message.substr(0, bytes)) + "…";
}

// Receives the parser's events and keeps the strings of known fields at the top level.
class RowHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  RowHandler(Row& row, RowProblem& problem) : row_(row), problem_(problem) {}

  bool is_seen(Field field) const { return seen_[field]; }
  bool has_messages() const { return has_messages_; }

  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a number"); }
  bool number_unsigned(number_unsigned_t) override { return other("a number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a number"); }
  bool binary(binary_t&) override { return other("binary"); }
  bool start_array(std::size_t) override { return other("a list") && enter(); }
  bool end_array() override { return leave(); }
  bool start_object(std::size_t) override { return (depth_ == 0 || other("an object")) && enter(); }
  bool end_object() override { return leave(); }

  bool string(string_t& value) override {
    if (depth_ == 0) return other("a string");
    if (depth_ > 1 || field_ == kFieldCount) return true;
    std::string& target = field_ == kText     ? row_.text
                          : field_ == kPrompt ? row_.prompt
                                              : row_.completion;
    target.swap(value);
    field_ = kFieldCount;
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    field_ = kFieldCount;
    has_messages_ |= name == "messages";
    for (int i = 0; i < kFieldCount; ++i) {
      if (name != kFieldNames[i]) continue;
      field_ = static_cast<Field>(i);
      if (seen_[i]) return refuse(name, "appears twice; expected once");
      seen_[i] = true;
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
    return refuse("", "is not JSON: " + shorten(e.what()));
  }

 private:
  bool refuse(std::string_view field, std::string what) {
    problem_ = {std::string(field), std::move(what)};
    return false;
  }
  // A value that is not a string: wrong for the row itself and for the fields we read.
  bool other(const char* kind) {
    if (depth_ == 0)
      return refuse("", fmt::format("is {}; expected an object with \"text\", or with \"prompt\" "
                                    "and \"completion\"",
                                    kind));
    if (depth_ > 1 || field_ == kFieldCount) return true;
    return refuse(kFieldNames[field_], fmt::format("is {}; expected a string", kind));
  }
  bool enter() {
    if (++depth_ > kMaxDepth)
      return refuse("", fmt::format("is nested too deeply; expected at most {} levels", kMaxDepth));
    return true;
  }
  bool leave() {
    --depth_;
    return true;
  }

  Row& row_;
  RowProblem& problem_;
  int depth_ = 0;
  Field field_ = kFieldCount;  // field whose value comes next
  std::array<bool, kFieldCount> seen_{};
  bool has_messages_ = false;
};

bool check_fields(const RowHandler& seen, Row& row, RowProblem& problem) {
  const auto refuse = [&](const char* field, const char* what) {
    problem = {field, what};
    return false;
  };
  const bool has_pair = seen.is_seen(kPrompt) || seen.is_seen(kCompletion);
  if (seen.is_seen(kText) && has_pair)
    return refuse("text",
                  "stands beside \"prompt\" or \"completion\"; expected one of the two kinds");
  if (!seen.is_seen(kText) && !has_pair)
    return refuse("", seen.has_messages()
                          ? "has \"messages\", which is not read; expected \"prompt\" and "
                            "\"completion\" rendered with the model's chat template"
                          : "has no \"text\"; expected it, or \"prompt\" and \"completion\"");
  row.has_text = seen.is_seen(kText);
  if (row.has_text) return row.text.empty() ? refuse("text", "is empty; expected text") : true;
  if (!seen.is_seen(kPrompt))
    return refuse("prompt", "is missing; expected it beside \"completion\"");
  if (!seen.is_seen(kCompletion))
    return refuse("completion", "is missing; expected it beside \"prompt\"");
  if (row.completion.empty()) return refuse("completion", "is empty; expected the text to learn");
  return true;
}

}  // namespace

bool parse_row(std::string_view line, Row& row, RowProblem& problem) {
  if (const std::size_t at = first_invalid_utf8(line); at != std::string_view::npos) {
    problem = {"", fmt::format("is not UTF-8: byte 0x{:02x} at column {}; expected UTF-8",
                               static_cast<unsigned char>(line[at]), at + 1)};
    return false;
  }
  RowHandler handler(row, problem);
  if (!nlohmann::json::sax_parse(line.begin(), line.end(), &handler)) return false;
  return check_fields(handler, row, problem);
}

}  // namespace outsize
