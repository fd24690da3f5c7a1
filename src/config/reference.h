// What the option table says, for people and for files: help text, reference page, resolved file.
#pragma once

#include <string>
#include <vector>

#include "config/run_config.h"

namespace outsize {

// The options of a configuration file as text of at most 80 columns, for --help.
std::string config_help();

// The page docs/CONFIG.md, whole; a test keeps the file equal to it.
std::string config_reference();

// Every option that means something in this configuration, as YAML that parse_config reads back to
// an equal configuration.
std::string resolved_yaml(const RunConfig& config);

struct Difference {
  std::string path;
  std::string before;  // YAML text
  std::string after;
  bool allowed = false;  // a run may be continued with it
};

// The options in which two configurations differ, in table order; those that mean nothing in both
// are left out.
std::vector<Difference> differences(const RunConfig& before, const RunConfig& after);

}  // namespace outsize
