// The one table of run options: path, field, default, range, unit, meaning. Parser, --set, --help,
// reference page, resolved file and the comparison on resume are all read from it, so an option
// cannot exist in one of them and be missing in another. This file reads and writes single values;
// config/load.h puts whole configurations together.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/run_config.h"
#include "config/yaml_tree.h"

namespace outsize {

// An enumeration: the position in Option::choices, read and written.
struct ChoiceField {
  int (*get)(const RunConfig&);
  void (*set)(RunConfig&, int);
};

template <class T>
using FieldOf = T& (*)(RunConfig&);

// The field's C++ type decides how its value is written in YAML.
using Field =
    std::variant<FieldOf<std::string>, FieldOf<std::optional<std::string>>,
                 FieldOf<std::vector<std::string>>, FieldOf<bool>, FieldOf<int>,
                 FieldOf<std::int64_t>, FieldOf<std::optional<std::int64_t>>, FieldOf<double>,
                 FieldOf<std::optional<double>>, FieldOf<std::array<double, 2>>, ChoiceField>;

// May the option differ when a run folder is continued?
enum class OnResume {
  same,  // no: it decides what the run computes
  grow,  // may only become larger
  free,  // yes: it decides when and where, or what is shown
};

struct Option {
  std::string_view path;
  Field field;
  std::string_view default_text;  // YAML; empty: none, the option is required; "null": absent
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;           // min itself is refused
  bool below_max = false;           // max itself is refused
  std::string_view choices = "";    // "a|b|c"
  std::string_view unit = "";       // "bytes" makes an integer a size such as 4GiB
  std::string_view only_with = "";  // "train.optimizer.name=adamw|adafactor": elsewhere no meaning
  OnResume on_resume = OnResume::same;
  std::string_view doc;
};

std::span<const Option> options();
// nullptr when no option has this path.
const Option* find_option(std::string_view path);
bool is_required(const Option& option);
std::vector<std::string_view> choices_of(const Option& option);

// Stores the node's value. `where` ("run.yaml:3:12") begins the message. Throws InvalidArgument
// when the value is of another kind, out of range or no choice.
void assign(const Option& option, const YamlNode& value, const std::string& where,
            RunConfig& config);

// The value as YAML that assign() reads back to the same value.
std::string text_of(const Option& option, const RunConfig& config);

// What assign() accepts: "a whole number from 1 (tokens)", "one of f32, bf16".
std::string expectation(const Option& option);

// Does the option mean anything for the choices made elsewhere (only_with)?
bool applies(const Option& option, const RunConfig& config);

}  // namespace outsize
