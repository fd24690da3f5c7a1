// Checks across options, with the places the options were set at.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "config/run_config.h"

namespace outsize {

struct Origin {
  std::string where;  // "run.yaml:3:12" or "--set train.clip=0"
  bool is_override = false;
};

// By option path; an option without an entry has its default.
using Origins = std::map<std::string, Origin, std::less<>>;

// Throws InvalidArgument at the first rule broken.
void check_config(const RunConfig& config, const Origins& origins);

}  // namespace outsize
