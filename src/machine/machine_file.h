// machine.json, both ways. The format is described in docs/MACHINE.md.
#pragma once

#include <string>
#include <string_view>

#include "machine/machine.h"

namespace outsize {

// Indented JSON that parse_machine reads back to the same values.
std::string machine_json(const Machine& machine);

// `name` stands for the file in messages. Throws Corruption when the text is not JSON,
// InvalidArgument naming the field when it is unknown (with the nearest known one), missing, of the
// wrong type or out of range.
Machine parse_machine(std::string_view text, const std::string& name);

// The same from a file; Io when it cannot be read.
Machine read_machine(const std::string& path);

// At once or not at all. Throws Io.
void write_machine(const Machine& machine, const std::string& path);

}  // namespace outsize
