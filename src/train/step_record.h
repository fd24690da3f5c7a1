// What a durable step carries besides the state: where the data stands, and what the bits hang on.
#pragma once

#include <string>

#include "weights/checkpoint.h"

namespace outsize {

std::string to_text(const CheckpointInfo& info);
// Throws Corruption naming `where`.
CheckpointInfo parse_step_record(const std::string& text, const std::string& where);

}  // namespace outsize
