#include "config/reference.h"

#include <fmt/format.h>

#include "config/options.h"
#include "config/value.h"

namespace outsize {
namespace {

constexpr std::size_t kHelpColumns = 80;

std::string_view section_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return path.substr(0, dot == path.npos ? 0 : dot);
}

std::string_view leaf_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return path.substr(dot == path.npos ? 0 : dot + 1);
}

std::string default_text(const Option& option) {
  if (is_required(option)) return "required";
  return option.default_text == "null" ? "absent" : std::string(option.default_text);
}

// " (only with adamw, sgd)", or nothing.
std::string only_with_text(const Option& option) {
  if (option.only_with.empty()) return "";
  std::string names(option.only_with.substr(option.only_with.find('=') + 1));
  for (std::size_t bar = names.find('|'); bar != names.npos; bar = names.find('|'))
    names.replace(bar, 1, ", ");
  return fmt::format(" Only with {}.", names);
}

void append_wrapped(std::string& out, std::string_view text, std::string_view indent) {
  std::size_t column = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (column > 0 && column + 1 + word.size() > kHelpColumns) {
      out += '\n';
      column = 0;
    }
    out += column == 0 ? indent : " ";
    column += (column == 0 ? indent.size() : 1) + word.size();
    out += word;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out += '\n';
}

std::string cell(std::string text) {
  for (std::size_t bar = text.find('|'); bar != text.npos; bar = text.find('|', bar + 2))
    text.replace(bar, 1, "\\|");
  return text;
}

double number_of(const std::string& text) {
  return parse_real(text).value_or(0);
}

bool may_change(const Option& option, const std::string& before, const std::string& after) {
  switch (option.on_resume) {
    case OnResume::free:
      return true;
    case OnResume::same:
      return false;
    case OnResume::grow:
      break;
  }
  return before != "null" && after != "null" && number_of(after) >= number_of(before);
}

}  // namespace

std::string config_help() {
  std::string out = "Options of the configuration file, and of --set key=value:\n";
  for (const Option& option : options()) {
    out += fmt::format("\n  {}\n", option.path);
    append_wrapped(out, fmt::format("{}; default: {}", expectation(option), default_text(option)),
                   "      ");
    append_wrapped(out, fmt::format("{}{}", option.doc, only_with_text(option)), "      ");
  }
  return out;
}

std::string config_reference() {
  std::string out =
      "# Configuration reference\n\n"
      "`outsize train config.yaml` and `outsize plan config.yaml` read one YAML file; "
      "`--set key=value` changes single\noptions of it, later ones winning "
      "(`--set train.optimizer.lr=1e-4`, `--set \"train.schedule={name: linear}\"`).\n"
      "Unknown keys, keys given twice and values of the wrong kind are refused with file, line and "
      "column.\nThe run folder's config.yaml holds every option as it was resolved.\n\n"
      "On resume: *same* options must not change, *grow* ones may only become larger, *free* ones "
      "may change.\n\n"
      "This page is generated from the option table (src/config/option_table.cc).\n";
  std::string_view section = "none";
  for (const Option& option : options()) {
    if (section_of(option.path) != section) {
      section = section_of(option.path);
      out += section.empty() ? "\n## Top level\n\n" : fmt::format("\n## {}\n\n", section);
      out += "| key | value | default | on resume | meaning |\n|---|---|---|---|---|\n";
    }
    constexpr std::string_view kResume[] = {"same", "grow", "free"};
    out += fmt::format("| `{}` | {} | `{}` | {} | {}{} |\n", option.path, cell(expectation(option)),
                       default_text(option), kResume[static_cast<int>(option.on_resume)],
                       cell(std::string(option.doc)), cell(only_with_text(option)));
  }
  return out;
}

std::string resolved_yaml(const RunConfig& config) {
  std::string out;
  std::vector<std::string_view> open;  // sections whose heading is written, outermost first
  for (const Option& option : options()) {
    if (!applies(option, config)) continue;
    const std::string_view section = section_of(option.path);
    while (!open.empty() && section != open.back() &&
           !(section.starts_with(open.back()) && section[open.back().size()] == '.'))
      open.pop_back();
    while (section.size() > (open.empty() ? 0 : open.back().size())) {
      const std::size_t from = open.empty() ? 0 : open.back().size() + 1;
      const std::size_t end = std::min(section.find('.', from), section.size());
      out += fmt::format("{:{}}{}:\n", "", 2 * open.size(), section.substr(from, end - from));
      open.push_back(section.substr(0, end));
    }
    out += fmt::format("{:{}}{}: {}\n", "", 2 * open.size(), leaf_of(option.path),
                       text_of(option, config));
  }
  return out;
}

std::vector<Difference> differences(const RunConfig& before, const RunConfig& after) {
  std::vector<Difference> found;
  for (const Option& option : options()) {
    if (!applies(option, before) && !applies(option, after)) continue;
    const std::string old_text = text_of(option, before);
    const std::string new_text = text_of(option, after);
    if (old_text == new_text) continue;
    found.push_back(
        {std::string(option.path), old_text, new_text, may_change(option, old_text, new_text)});
  }
  return found;
}

}  // namespace outsize
