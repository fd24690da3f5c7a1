#include "train/store_folder.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"

namespace outsize {

namespace fs = std::filesystem;

std::string store_folder(const std::string& run_folder) {
  const fs::path path = fs::path(run_folder) / "store";
  std::error_code error;
  if (fs::is_symlink(path, error) && !fs::exists(path, error))
    fail(ErrorKind::Io,
         "[run] {}: the disk with this run's state is not there; got a link to nothing; expected "
         "the folder {}; try mounting its disk, or remove the link to begin anew",
         path.string(), fs::read_symlink(path, error).string());
  return path.string();
}

void link_store_folder(const RunConfig& config) {
  const fs::path link = store_folder(config.run);
  std::error_code error;
  if (!config.budget.disk || fs::exists(link, error)) return;
  std::string name = fs::absolute(config.run).lexically_normal().string();
  std::replace(name.begin(), name.end(), '/', '_');
  const fs::path target = fs::absolute(*config.budget.disk) / ("outsize" + name);
  fs::create_directories(target, error);
  if (!error) fs::create_directory_symlink(target, link, error);
  if (error)
    fail(ErrorKind::Io, "[run] budget.disk: {} cannot be used for the state of {}; got '{}'",
         target.string(), config.run, error.message());
  sync_names_of(target.string());
}

}  // namespace outsize
