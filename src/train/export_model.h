// `outsize export`: weights, configuration and tokenizer together.
#pragma once

#include <string>

namespace outsize {

struct ExportOptions {
  std::string model, format, dtype = "bf16", out;
};

// Throws typed errors, OutOfMemory when the disk lacks room; an existing file at `out` is replaced
// only when the new one is whole.
void export_model(const ExportOptions& options);

}  // namespace outsize
