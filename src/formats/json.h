// JSON from files nobody vouches for: size and nesting are limited, every fault is a typed Error
// that names the file, line and reason, and no exception of the JSON library gets out.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outsize {

struct JsonLimits {
  std::uint64_t max_bytes = std::uint64_t{512} << 20;
  int max_depth = 64;  // nested arrays and objects; copying and printing a value recurse this deep
  bool allow_duplicate_keys = true;  // as most readers: the last one counts
};

// Parses one JSON value; `file` is only the name for messages. Throws Corruption when the text is
// not JSON (invalid UTF-8 included), too deep, or repeats a key where that is not allowed;
// InvalidArgument when it is too large.
nlohmann::json parse_json(std::string_view text, const std::string& file,
                          const JsonLimits& limits = {});
// Same for the contents of a file; also throws as core/file.h does.
nlohmann::json read_json(const std::string& path, const JsonLimits& limits = {});

// The fields of one JSON object, typed. A field that is null counts as absent, as Hugging Face
// configs mean it. Every function throws InvalidArgument naming file and field: when a required
// field is absent, and whenever a present one has the wrong type or is out of range.
class JsonFields {
 public:
  static constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

  // `object` is borrowed and must outlive this. Throws InvalidArgument when it is not an object.
  // `prefix` is where the object sits inside the file ("text_config."), for messages.
  JsonFields(const nlohmann::json& object, std::string file, std::string prefix = "");

  const std::string& file() const { return file_; }
  // Null pointer when absent or null.
  const nlohmann::json* find(std::string_view field) const;
  bool has(std::string_view field) const { return find(field) != nullptr; }

  // A whole number in [min, max]; 4096.0 counts as one.
  std::int64_t integer(std::string_view field, std::int64_t min = kMin,
                       std::int64_t max = kMax) const;
  std::int64_t integer_or(std::string_view field, std::int64_t fallback, std::int64_t min = kMin,
                          std::int64_t max = kMax) const;
  // A finite number.
  double number(std::string_view field) const;
  double number_or(std::string_view field, double fallback) const;
  bool boolean(std::string_view field) const;
  bool boolean_or(std::string_view field, bool fallback) const;
  std::string text(std::string_view field) const;
  std::string text_or(std::string_view field, std::string fallback) const;
  // A list, or a single value standing for a list of one (eos_token_id comes both ways). Absent:
  // empty.
  std::vector<std::int64_t> integers(std::string_view field) const;
  std::vector<std::string> texts(std::string_view field) const;
  // A nested object; absent: nullopt from the second.
  JsonFields object(std::string_view field) const;
  std::optional<JsonFields> object_or_none(std::string_view field) const;

  // Throws InvalidArgument "<file>: field '<field>' <what>".
  [[noreturn]] void fail_field(std::string_view field, std::string_view what) const;

 private:
  const nlohmann::json& required(std::string_view field) const;

  const nlohmann::json* object_;
  std::string file_;
  std::string prefix_;
};

}  // namespace outsize
