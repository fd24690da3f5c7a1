#include "config/load.h"

#include <algorithm>

#include "config/check.h"
#include "config/nearest.h"
#include "config/options.h"
#include "config/utf8.h"
#include "config/yaml_tree.h"
#include "core/error.h"
#include "core/file.h"

namespace outsize {
namespace {

std::string join_path(std::string_view section, std::string_view key) {
  return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key);
}

bool is_section(std::string_view path) {
  return std::any_of(options().begin(), options().end(), [&](const Option& option) {
    return path.empty() ||
           (option.path.starts_with(path) && option.path.substr(path.size()).starts_with('.'));
  });
}

// Keys directly inside a section, sections included, in table order.
std::vector<std::string_view> keys_of(std::string_view section) {
  std::vector<std::string_view> keys;
  for (const Option& option : options()) {
    std::string_view rest = option.path;
    if (!section.empty()) {
      if (!rest.starts_with(section) || !rest.substr(section.size()).starts_with('.')) continue;
      rest.remove_prefix(section.size() + 1);
    }
    const std::string_view key = rest.substr(0, rest.find('.'));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
  return keys;
}

// For a key that is right but stands in the wrong section: the full path of an option or section
// whose last part is this name.
std::string find_elsewhere(std::string_view name) {
  for (const Option& option : options()) {
    std::string_view path = option.path;
    while (!path.empty()) {
      const std::size_t dot = path.rfind('.');
      if (path.substr(dot == path.npos ? 0 : dot + 1) == name) return std::string(path);
      path = path.substr(0, dot == path.npos ? 0 : dot);
    }
  }
  return "";
}

class Loader {
 public:
  Loader() {
    for (const Option& option : options())
      if (!is_required(option))
        assign(option, parse_yaml(option.default_text, "default"), "default", config);
  }

  // Applies a file's or a section override's keys.
  void apply_section(const std::string& section, const YamlNode& node) {
    if (node.kind == YamlNode::Kind::null) return;
    if (node.kind != YamlNode::Kind::map) {
      const std::vector<std::string_view> keys = keys_of(section);
      fail(ErrorKind::InvalidArgument,
           "[{}] {} is no section; got {}; expected keys such as '{}: …'",
           where(node.line, node.column), section.empty() ? "the configuration" : section,
           describe(node), keys.front());
    }
    for (const YamlEntry& entry : node.entries) apply_entry(section, entry);
  }

  void apply_override(const std::string& text) {
    override_ = text;
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      fail(ErrorKind::InvalidArgument, "[--set] not an assignment; got {}; expected key=value",
           describe(text_node(text)));
    if (find_bad_text(text) != text.size())
      fail(ErrorKind::InvalidArgument, "[--set] not text; got bytes that are not UTF-8");
    const std::string path = text.substr(0, equals);
    const std::string value = text.substr(equals + 1);
    const Option* option = find_option(path);
    if (option == nullptr && !is_section(path)) refuse_unknown(path, where(1, 1));
    const YamlNode node = is_raw(option, value) ? text_node(value) : parse_yaml(value, where(1, 1));
    if (option == nullptr)
      apply_section(path, node);
    else
      set(*option, node, where(1, 1));
  }

  void begin_file(const std::string& name) {
    file_ = name;
    override_.clear();
  }

  RunConfig config;
  Origins origins;

 private:
  static YamlNode text_node(const std::string& text) {
    YamlNode node;
    node.kind = YamlNode::Kind::scalar;
    node.text = text;
    return node;
  }

  // A shell has already taken the quotes off a path given by --set: only what is clearly YAML (a
  // list, a quoted text, null) is read as such.
  static bool is_raw(const Option* option, const std::string& value) {
    if (option == nullptr || option->unit != "path" || value.empty()) return false;
    return value != "null" && value != "~" &&
           std::string_view("[\"'").find(value[0]) == std::string_view::npos;
  }

  std::string where(int line, int column) const {
    if (!override_.empty())
      return fmt::format("--set {}", override_.substr(0, override_.find('=')));
    return fmt::format("{}:{}:{}", file_, line, column);
  }

  void set(const Option& option, const YamlNode& node, const std::string& place) {
    assign(option, node, place, config);
    origins[std::string(option.path)] = {place, !override_.empty()};
  }

  void apply_entry(const std::string& section, const YamlEntry& entry) {
    const std::string path = join_path(section, entry.key);
    const std::string place = where(entry.line, entry.column);
    // Dotted keys would let one option be given twice unnoticed.
    if (entry.key.find('.') != std::string::npos && (find_option(path) || is_section(path)))
      fail(ErrorKind::InvalidArgument, "[{}] a key with a dot; got {}; expected nested sections",
           place, describe(text_node(entry.key)));
    if (const Option* option = find_option(path)) {
      set(*option, entry.value, where(entry.value.line, entry.value.column));
    } else if (is_section(path)) {
      apply_section(path, entry.value);
    } else {
      refuse_unknown(path, place);
    }
  }

  // `path` may name an unknown key in a known section, or something unknown altogether.
  [[noreturn]] void refuse_unknown(std::string_view path, const std::string& place) const {
    const std::size_t dot = path.rfind('.');
    std::string_view section = path.substr(0, dot == path.npos ? 0 : dot);
    const std::string_view name = path.substr(dot == path.npos ? 0 : dot + 1);
    const YamlNode shown = text_node(std::string(path));
    if (!is_section(section)) section = "";
    const std::vector<std::string_view> keys = keys_of(section);
    const std::string_view nearest = nearest_name(name, keys);
    std::string hint;
    if (!nearest.empty()) {
      hint = fmt::format("did you mean '{}'?", join_path(section, nearest));
    } else if (const std::string elsewhere = find_elsewhere(name); !elsewhere.empty()) {
      hint = fmt::format("did you mean '{}'?", elsewhere);
    } else {
      hint = nearest_path(path);
    }
    if (hint.empty()) hint = suggest_name(name, keys);
    fail(ErrorKind::InvalidArgument, "[{}] unknown key; got {}; {}", place, describe(shown), hint);
  }

  static std::string nearest_path(std::string_view path) {
    std::vector<std::string_view> paths;
    for (const Option& option : options()) paths.push_back(option.path);
    const std::string_view nearest = nearest_name(path, paths);
    return nearest.empty() ? "" : fmt::format("did you mean '{}'?", nearest);
  }

  std::string file_;
  std::string override_;  // the --set being applied; empty while a file is
};

}  // namespace

RunConfig parse_config(std::string_view text, const std::string& name,
                       std::span<const std::string> overrides) {
  Loader loader;
  loader.begin_file(name);
  loader.apply_section("", parse_yaml(text, name));
  for (const std::string& override_text : overrides) loader.apply_override(override_text);
  check_config(loader.config, loader.origins);
  return loader.config;
}

RunConfig load_config(const std::string& path, std::span<const std::string> overrides) {
  return parse_config(read_text(path, kMaxYamlBytes), path, overrides);
}

RunConfig default_config() {
  return Loader().config;
}

}  // namespace outsize
