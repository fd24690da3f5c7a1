// The folder of one run: who may use it, what lies where, and whether a configuration continues the
// run that is in it.
//   config.yaml          the resolved configuration
//   metrics.jsonl        report/metrics.h
//   tensorboard/         event files
//   checkpoints/step-N/  state after N updates; other names in there are no checkpoints
//   lock                 held by the process that runs, with its number
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/reference.h"
#include "config/run_config.h"

namespace outsize {

class RunFolder {
 public:
  // Makes the folder where it is missing and takes its lock until destruction. Throws
  // InvalidArgument naming the process that holds it, Io when the folder cannot be made or written.
  explicit RunFolder(std::string path);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  ~RunFolder();

  const std::string& path() const { return path_; }
  std::string config_path() const { return path_ + "/config.yaml"; }
  std::string metrics_path() const { return path_ + "/metrics.jsonl"; }
  std::string tensorboard_path() const { return path_ + "/tensorboard"; }
  std::string checkpoints_path() const { return path_ + "/checkpoints"; }
  std::string checkpoint_path(std::int64_t step) const;

  // Compares with the configuration in the folder and stores the new one. Returns the options that
  // changed (none for a fresh folder), all of them allowed to. Throws InvalidArgument naming every
  // option that must not differ, and as parse_config when the stored file is damaged.
  std::vector<Difference> adopt(const RunConfig& config);

  // Steps of the checkpoints, ascending. Throws Io.
  std::vector<std::int64_t> checkpoints() const;
  std::optional<std::int64_t> latest_checkpoint() const;
  // Removes all but the newest `keep` (at least one) checkpoints, oldest first, and what an earlier
  // removal left behind. Throws Io.
  void prune_checkpoints(std::int64_t keep) const;

 private:
  void lock();

  std::string path_;
  int lock_ = -1;
};

// Has a run been started in this folder?
bool is_run_folder(const std::string& path);

// For readers (eval, generate, export) that take no lock: newest checkpoint of a run folder.
std::optional<std::int64_t> latest_checkpoint_of(const std::string& run_folder);

}  // namespace outsize
