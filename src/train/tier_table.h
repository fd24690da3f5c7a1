// How much of each kind of thing lies in RAM and on disk: the table of `outsize plan`.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "plan/plan.h"

namespace outsize {

// Bytes per kind that lie on disk at most at one time: one copy of what the store keeps, and what
// passes through scratch.
std::array<std::int64_t, kBufferKindCount> disk_bytes_by_kind(const Plan& plan);

// `arena_bytes`: of all phases. `budget_bytes`: of the arena, 0: none.
std::string tier_table(const Plan& plan, std::int64_t arena_bytes, std::int64_t budget_bytes);

}  // namespace outsize
