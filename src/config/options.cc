#include "config/options.h"

#include <fmt/format.h>

#include <cmath>
#include <type_traits>

#include "config/nearest.h"
#include "config/value.h"
#include "core/error.h"

namespace outsize {
namespace {

template <class T>
struct Unwrapped {
  using type = T;
};
template <class T>
struct Unwrapped<std::optional<T>> {
  using type = T;
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_path(const Option& option) {
  return option.unit == "path";
}

bool is_size(const Option& option) {
  return option.unit == "bytes";
}

// One value being read: what the messages need.
struct Reading {
  const Option& option;
  const std::string& where;

  [[noreturn]] void refuse(const YamlNode& node, std::string_view hint = "") const {
    fail(ErrorKind::InvalidArgument, "[{}] {} cannot take this value; got {}; expected {}{}", where,
         option.path, describe(node), expectation(option), hint);
  }

  // Numbers and truth values are written plain; quotes make text.
  const std::string& plain(const YamlNode& node) const {
    if (node.kind != YamlNode::Kind::scalar) refuse(node);
    if (node.quoted) refuse(node, "; try it without quotes");
    return node.text;
  }

  void check_range(const YamlNode& node, double value) const {
    const bool low = option.above_min ? value > option.min : value >= option.min;
    const bool high = option.below_max ? value < option.max : value <= option.max;
    if (!(low && high)) refuse(node);
  }

  int choice(const YamlNode& node) const {
    if (node.kind != YamlNode::Kind::scalar) refuse(node);
    const auto known = choices_of(option);
    for (std::size_t i = 0; i < known.size(); ++i)
      if (known[i] == node.text) return static_cast<int>(i);
    const std::string_view nearest = nearest_name(node.text, known);
    refuse(node, nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
  }

  void read(const YamlNode& node, std::string& value) const {
    if (!option.choices.empty()) choice(node);
    if (node.kind != YamlNode::Kind::scalar) refuse(node);
    if (node.text.empty()) refuse(node);
    // A path with a zero byte would be cut short by the operating system.
    if (node.text.find('\0') != std::string::npos) refuse(node, " without zero bytes");
    value = node.text;
  }
  void read(const YamlNode& node, bool& value) const {
    const auto parsed = parse_bool(plain(node));
    if (!parsed) refuse(node);
    value = *parsed;
  }
  void read(const YamlNode& node, std::int64_t& value) const {
    const std::string& text = plain(node);
    const auto parsed = is_size(option) ? parse_size(text) : parse_integer(text);
    if (!parsed) refuse(node);
    check_range(node, static_cast<double>(*parsed));
    value = *parsed;
  }
  void read(const YamlNode& node, int& value) const {
    std::int64_t wide = 0;
    read(node, wide);
    value = static_cast<int>(wide);  // the row's range keeps it inside
  }
  void read(const YamlNode& node, double& value) const {
    const auto parsed = parse_real(plain(node));
    if (!parsed) refuse(node);
    check_range(node, *parsed);
    value = *parsed;
  }
  void read(const YamlNode& node, std::array<double, 2>& value) const {
    if (node.kind != YamlNode::Kind::list || node.items.size() != value.size()) refuse(node);
    for (std::size_t i = 0; i < value.size(); ++i) read(node.items[i], value[i]);
  }
  void read(const YamlNode& node, std::vector<std::string>& value) const {
    const bool is_list = node.kind == YamlNode::Kind::list;
    if (is_list && node.items.empty() && is_required(option)) refuse(node);
    std::vector<std::string> items(is_list ? node.items.size() : 1);
    for (std::size_t i = 0; i < items.size(); ++i) read(is_list ? node.items[i] : node, items[i]);
    value = std::move(items);
  }
  template <class T>
  void read(const YamlNode& node, std::optional<T>& value) const {
    if (node.kind == YamlNode::Kind::null) {
      value.reset();
      return;
    }
    T present{};
    read(node, present);
    value = std::move(present);
  }
};

struct Writing {
  const Option& option;

  std::string write(const std::string& value) const { return format_text(value); }
  std::string write(bool value) const { return value ? "true" : "false"; }
  std::string write(std::int64_t value) const {
    return is_size(option) ? format_size(value) : fmt::format("{}", value);
  }
  std::string write(int value) const { return fmt::format("{}", value); }
  std::string write(double value) const { return format_real(value); }
  std::string write(const std::array<double, 2>& value) const {
    return fmt::format("[{}, {}]", format_real(value[0]), format_real(value[1]));
  }
  std::string write(const std::vector<std::string>& value) const {
    std::vector<std::string> quoted;
    for (const std::string& item : value) quoted.push_back(format_text(item));
    return fmt::format("[{}]", fmt::join(quoted, ", "));
  }
  template <class T>
  std::string write(const std::optional<T>& value) const {
    return value ? write(*value) : "null";
  }
};

std::string range_text(const Option& option, bool whole) {
  const auto number = [&](double value) {
    if (is_size(option)) return format_size(std::llround(value));
    // Bounds against typing mistakes are round and large: 1e+12 reads better than its zeros.
    if (std::abs(value) >= 1e9) return fmt::format("{:g}", value);
    return whole ? fmt::format("{:.0f}", value) : format_real(value);
  };
  std::string text;
  if (std::isfinite(option.min))
    text += fmt::format(" {} {}", option.above_min ? "above" : "from", number(option.min));
  if (std::isfinite(option.max))
    text += fmt::format(" {} {}", option.below_max ? "below" : "to", number(option.max));
  return text;
}

template <class T>
std::string expectation_of(const Option& option, bool may_be_absent) {
  const std::string absent = may_be_absent ? ", or null" : "";
  if constexpr (std::is_same_v<T, std::string>)
    return (is_path(option) ? "a path" : "text") + absent;
  else if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return is_required(option) ? "a path or a list of paths" : "a path or a list of paths, or []";
  else if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_same_v<T, double>)
    return "a number" + range_text(option, false) + absent;
  else if constexpr (std::is_same_v<T, std::array<double, 2>>)
    return "a list of two numbers" + range_text(option, false);
  else if (is_size(option))
    return "a size such as 4GiB," + range_text(option, true) + absent;
  else
    return (option.unit.empty() ? "a whole number"
                                : fmt::format("a whole number of {}", option.unit)) +
           range_text(option, true) + absent;
}

}  // namespace

const Option* find_option(std::string_view path) {
  for (const Option& option : options())
    if (option.path == path) return &option;
  return nullptr;
}

bool is_required(const Option& option) {
  return option.default_text.empty();
}

std::vector<std::string_view> choices_of(const Option& option) {
  return split(option.choices, '|');
}

void assign(const Option& option, const YamlNode& value, const std::string& where,
            RunConfig& config) {
  const Reading reading{option, where};
  std::visit(
      [&](const auto& field) {
        if constexpr (std::is_same_v<std::decay_t<decltype(field)>, ChoiceField>)
          field.set(config, reading.choice(value));
        else
          reading.read(value, field(config));
      },
      option.field);
}

std::string text_of(const Option& option, const RunConfig& config) {
  RunConfig copy = config;  // the fields' accessors hand out references for writing
  return std::visit(
      [&](const auto& field) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(field)>, ChoiceField>)
          return std::string(choices_of(option).at(static_cast<std::size_t>(field.get(config))));
        else
          return Writing{option}.write(field(copy));
      },
      option.field);
}

std::string expectation(const Option& option) {
  if (!option.choices.empty()) return fmt::format("one of {}", fmt::join(choices_of(option), ", "));
  return std::visit(
      [&](const auto& field) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(field)>, ChoiceField>) {
          return "";
        } else {
          using T = std::remove_cvref_t<decltype(field(std::declval<RunConfig&>()))>;
          using Value = typename Unwrapped<T>::type;
          return expectation_of<Value>(option, !std::is_same_v<T, Value>);
        }
      },
      option.field);
}

bool applies(const Option& option, const RunConfig& config) {
  if (option.only_with.empty()) return true;
  const std::size_t equals = option.only_with.find('=');
  const Option* selector = find_option(option.only_with.substr(0, equals));
  ensure(selector != nullptr, "[options] {} depends on an unknown option", option.path);
  const std::string chosen = text_of(*selector, config);
  for (std::string_view allowed : split(option.only_with.substr(equals + 1), '|'))
    if (allowed == chosen) return true;
  return false;
}

}  // namespace outsize
