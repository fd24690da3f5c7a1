// YAML text as a small tree with positions. The text is hostile until proven otherwise: its size,
// depth and number of nodes (aliases expanded) are bounded before anything is built, duplicate keys
// are refused, and no exception of the YAML library gets out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace outsize {

inline constexpr std::size_t kMaxYamlBytes = std::size_t{1} << 20;
inline constexpr int kMaxYamlNodes = 20000;
inline constexpr int kMaxYamlDepth = 32;

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, list, map };

  Kind kind = Kind::null;
  int line = 1;                 // of the node's first character, from 1
  int column = 1;               // from 1
  bool quoted = false;          // scalar written in quotes: text, even when it looks like a number
  std::string text;             // scalar
  std::vector<YamlNode> items;  // list
  std::vector<YamlEntry> entries;  // map, in order of the file; keys are unique
};

struct YamlEntry {
  std::string key;
  int line = 1;
  int column = 1;
  YamlNode value;
};

// Parses one YAML document; an empty text gives a null node. `name` stands before line and column
// in messages. Throws InvalidArgument for anything that is not one well-formed document in UTF-8
// within the bounds above.
YamlNode parse_yaml(std::string_view text, const std::string& name);

// What a node is, for "got …" in messages: "'abc'", "the quoted text '1'", "a list of 3",
// "nothing".
std::string describe(const YamlNode& node);

}  // namespace outsize
