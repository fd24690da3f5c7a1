// Where a run may be killed: the moments between which what is on disk changes its meaning. Tests
// stop the store at each of them; nobody else listens. docs/DURABILITY.md lists their order.
#pragma once

#include <cstdint>

namespace outsize {

enum class KillPoint : std::uint8_t {
  after_allocate,
  after_layout,
  before_rename,
  after_rename,
  after_folder_sync,
  before_write,
  after_write,
  before_log_sync,
  after_log_sync,
  mid_log_record,
  after_log_record,
  before_progress,
  mid_progress_record,
  before_progress_sync,
  after_progress_sync,
  before_slot_sync,
  after_slot_sync,
  mid_commit_record,
  before_commit_sync,
  after_commit_sync,
};
constexpr int kKillPointCount = static_cast<int>(KillPoint::after_commit_sync) + 1;

// "after_allocate", …
const char* name_of(KillPoint point);

}  // namespace outsize
