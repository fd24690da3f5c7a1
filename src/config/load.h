// From YAML text and --set to a checked RunConfig. Everything wrong in the input ends in one
// InvalidArgument that begins with where it stands ("[run.yaml:3:12]", "[--set train.lr=1]") and
// says what was got and what is expected.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/run_config.h"

namespace outsize {

// Reads the file, then applies each override "key=value" in order; a value is YAML, a key may also
// name a section ("train.optimizer={name: sgd, lr: 0.1}"). Throws InvalidArgument, or Io when the
// file cannot be read.
RunConfig load_config(const std::string& path, std::span<const std::string> overrides = {});

// The same from text; `name` stands for the file in messages.
RunConfig parse_config(std::string_view text, const std::string& name,
                       std::span<const std::string> overrides = {});

// Every option at its default, required ones empty: where code starts that needs no file.
RunConfig default_config();

// Checks across options (the microbatch divides the global batch, …) for a configuration changed
// by code. load_config and parse_config have done it. Throws InvalidArgument.
void check_config(const RunConfig& config);

}  // namespace outsize
