// How much of each kind of thing lies in RAM and on disk: the table of `outsize plan`.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "plan/plan.h"

namespace outsize {

// Bytes per kind that lie on disk at most at one time: one copy of what the store keeps, its log,
// and what passes through scratch.
std::array<std::int64_t, kBufferKindCount> disk_bytes_by_kind(const Plan& plan);

struct TierSizes {
  std::int64_t arena_bytes = 0;   // of all phases
  std::int64_t budget_bytes = 0;  // of the arena; 0: none
  std::int64_t disk_bytes = 0;    // of all files, with every copy of the state; 0: none
};
std::string tier_table(const Plan& plan, const TierSizes& sizes);

}  // namespace outsize
