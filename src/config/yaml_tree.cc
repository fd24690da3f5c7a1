#include "config/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "config/utf8.h"
#include "core/error.h"

namespace outsize {
namespace {

int nodes_in(const YamlNode& node) {
  int count = 1;
  for (const YamlNode& item : node.items) count += nodes_in(item);
  for (const YamlEntry& entry : node.entries) count += nodes_in(entry.value);
  return count;
}

int depth_of(const YamlNode& node) {
  int depth = 0;
  for (const YamlNode& item : node.items) depth = std::max(depth, depth_of(item));
  for (const YamlEntry& entry : node.entries) depth = std::max(depth, depth_of(entry.value));
  return depth + 1;
}

// Builds the tree from the library's events. Its own Load() would merge duplicate keys silently
// and share aliased nodes, so that a small text could stand for an exponentially large tree.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& name) : name_(name) {}

  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse(mark, "a second document; expected one document in the file");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make_node(mark, YamlNode::Kind::null), anchor, mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    if (found == anchored_.end()) refuse(mark, "an alias inside the node it names");
    count(nodes_in(found->second), mark);
    if (static_cast<int>(open_.size()) + depth_of(found->second) > kMaxYamlDepth)
      refuse_depth(mark);
    add(found->second, 0, mark);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = make_node(mark, YamlNode::Kind::scalar);
    node.quoted = check_tag(mark, tag);
    node.text = value;
    add(std::move(node), anchor, mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(mark, YamlNode::Kind::list, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open(mark, YamlNode::Kind::map, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    YAML::Mark mark;
    bool has_key = false;  // map: the key was read, its value is next
    std::map<std::string, int> key_lines;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, std::string_view what) {
    fail(ErrorKind::InvalidArgument, "[{}:{}:{}] not usable YAML; got {}", name_, mark.line + 1,
         mark.column + 1, what);
  }
  [[noreturn]] void refuse_depth(const YAML::Mark& mark) {
    refuse(mark, fmt::format("nesting deeper than {} levels", kMaxYamlDepth));
  }

  void count(int nodes, const YAML::Mark& mark) {
    nodes_ += nodes;
    if (nodes_ > kMaxYamlNodes)
      refuse(mark, fmt::format("more than {} nodes, aliases expanded", kMaxYamlNodes));
  }

  YamlNode make_node(const YAML::Mark& mark, YamlNode::Kind kind) {
    count(1, mark);
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  // True when the tag says the scalar is text. "?" is the library's name for a plain scalar.
  bool check_tag(const YAML::Mark& mark, const std::string& tag) {
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    if (tag.empty() || tag == "?") return false;
    if (tag == "!") return true;
    const std::string_view name = std::string_view(tag).substr(std::min(tag.size(), kCore.size()));
    if (tag.starts_with(kCore) && name == "str") return true;
    const bool known = name == "int" || name == "float" || name == "bool" || name == "seq" ||
                       name == "map" || name == "null";
    if (!tag.starts_with(kCore) || !known)
      refuse(mark, fmt::format("the tag '{}'; expected a plain value", tag));
    return false;
  }

  void open(const YAML::Mark& mark, YamlNode::Kind kind, YAML::anchor_t anchor) {
    if (static_cast<int>(open_.size()) >= kMaxYamlDepth) refuse_depth(mark);
    open_.push_back({make_node(mark, kind), anchor, mark, false, {}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.node), done.anchor, done.mark);
  }

  void add(YamlNode node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (anchor != 0) {
      count(nodes_in(node), mark);
      anchored_[anchor] = node;
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::list) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.has_key) {
      parent.node.entries.back().value = std::move(node);
      parent.has_key = false;
    } else {
      add_key(parent, node, mark);
    }
  }

  void add_key(Open& map, const YamlNode& key, const YAML::Mark& mark) {
    if (key.kind != YamlNode::Kind::scalar)
      refuse(mark, describe(key) + " as a key; expected a name");
    const auto [first, is_new] = map.key_lines.emplace(key.text, key.line);
    if (!is_new)
      fail(ErrorKind::InvalidArgument,
           "[{}:{}:{}] the key {} is given twice; the first is at line {}; try removing one", name_,
           key.line, key.column, describe(key), first->second);
    map.node.entries.push_back({key.text, key.line, key.column, {}});
    map.has_key = true;
  }

  const std::string& name_;
  int documents_ = 0;
  int nodes_ = 0;
  YamlNode root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNode> anchored_;
};

void check_text(std::string_view text, const std::string& name) {
  if (text.size() > kMaxYamlBytes)
    fail(ErrorKind::InvalidArgument, "[{}] too large; got {} bytes; expected at most {}", name,
         text.size(), kMaxYamlBytes);
  const std::size_t bad = find_bad_text(text);
  if (bad == text.size()) return;
  const std::string_view before = text.substr(0, bad);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n') == before.npos ? 0 : before.rfind('\n') + 1;
  fail(ErrorKind::InvalidArgument, "[{}:{}:{}] not text; got the byte 0x{:02x}; expected UTF-8",
       name, line, bad - start + 1, static_cast<unsigned char>(text[bad]));
}

}  // namespace

YamlNode parse_yaml(std::string_view text, const std::string& name) {
  check_text(text, name);
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(name);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    fail(ErrorKind::InvalidArgument, "[{}:{}:{}] not valid YAML; {}", name, error.mark.line + 1,
         error.mark.column + 1, error.msg);
  }
  return builder.take();
}

std::string describe(const YamlNode& node) {
  constexpr std::size_t kShownBytes = 60;
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::list:
      return fmt::format("a list of {}", node.items.size());
    case YamlNode::Kind::map:
      return fmt::format("a section of {} keys", node.entries.size());
    case YamlNode::Kind::scalar:
      break;
  }
  // Cut between characters, so that the message stays UTF-8; escaped, so that it stays one line.
  std::string shown;
  for (const char c : node.text) {
    const auto byte = static_cast<unsigned char>(c);
    if (shown.size() >= kShownBytes && (byte & 0xc0) != 0x80) {
      shown += "…";
      break;
    }
    if (byte < 0x20 || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return fmt::format("{}'{}'", node.quoted ? "the quoted text " : "", shown);
}

}  // namespace outsize
