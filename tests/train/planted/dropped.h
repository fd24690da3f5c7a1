// A bug that is linked in instead of the right function; absent: the library's behaviour.
#pragma once

#include <cstddef>
#include <optional>

namespace outsize {

// Which dependency of every plan is left out, counted through its tasks.
extern std::optional<std::size_t> planted_dropped_dependency;

}  // namespace outsize
