// The known name a mistyped one was probably meant to be.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace outsize {

// Edits (insert, delete, replace, swap of neighbours) that turn a into b, ignoring ASCII case.
// Names longer than 64 bytes count as infinitely far.
int edit_distance(std::string_view a, std::string_view b);

// The known name nearest to `name`, or an empty view when none is near enough to be a typing
// mistake (more than a third of the letters wrong). Ties go to the first.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> known);

// Ending for an error message about an unknown name: "did you mean 'x'?" or "expected one of a, b".
std::string suggest_name(std::string_view name, std::span<const std::string_view> known);

}  // namespace outsize
