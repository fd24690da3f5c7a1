#include "storage/kill_point.h"

namespace outsize {

const char* name_of(KillPoint point) {
  static constexpr const char* kNames[kKillPointCount] = {
      "after_allocate",      "after_layout",         "before_rename",       "after_rename",
      "after_folder_sync",   "before_write",         "after_write",         "before_log_sync",
      "after_log_sync",      "mid_log_record",       "after_log_record",    "before_progress",
      "mid_progress_record", "before_progress_sync", "after_progress_sync", "before_slot_sync",
      "after_slot_sync",     "mid_commit_record",    "before_commit_sync",  "after_commit_sync"};
  return kNames[static_cast<int>(point)];
}

}  // namespace outsize
