#include "report/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "config/load.h"
#include "config/value.h"
#include "core/error.h"
#include "core/file.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCheckpointPrefix = "step-";
// A checkpoint is renamed to this before its files go, so that half of one is never taken for one.
constexpr std::string_view kRemovedPrefix = "removed-step-";
constexpr std::uint64_t kMaxConfigBytes = std::uint64_t{1} << 20;

[[noreturn]] void fail_io(const std::string& path, std::string_view action,
                          const std::string& reason) {
  fail(ErrorKind::Io, "[{}] cannot {}; got: {}", path, action, reason);
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_io(path, "make the folder", error.message());
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (std::error_code unknown; it->is_directory(unknown))
      names.push_back(it->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    fail_io(folder, "list the folder", error.message());
  return names;
}

std::vector<std::int64_t> checkpoints_in(const std::string& folder) {
  std::vector<std::int64_t> steps;
  for (const std::string& name : names_in(folder)) {
    if (!name.starts_with(kCheckpointPrefix)) continue;
    const std::string_view digits = std::string_view(name).substr(kCheckpointPrefix.size());
    const auto step = parse_integer(digits);
    if (step && *step >= 0 && fmt::format("{}", *step) == digits) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) fail_io(path, "remove the old checkpoint", error.message());
}

// The number in a lock file, or words when there is none (yet).
std::string holder_of(int descriptor) {
  char text[32] = {};
  const ssize_t got = ::pread(descriptor, text, sizeof(text) - 1, 0);
  const std::string_view line(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  const auto process = parse_integer(line.substr(0, line.find('\n')));
  return process ? fmt::format("process {}", *process) : "another process";
}

}  // namespace

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  if (path_.empty()) fail(ErrorKind::InvalidArgument, "[run] missing; expected a folder's path");
  make_folder(path_);
  lock();
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);  // the lock goes with the last descriptor
}

void RunFolder::lock() {
  const std::string file = path_ + "/lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) fail_io(file, "open the lock", std::strerror(errno));
  int result = 0;
  do {
    result = ::flock(lock_, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    const int error = errno;
    const std::string holder = holder_of(lock_);
    ::close(lock_);
    lock_ = -1;
    if (error != EWOULDBLOCK) fail_io(file, "lock", std::strerror(error));
    fail(ErrorKind::InvalidArgument,
         "[{}] the run folder is in use; got the lock of {}; expected one process at a time; try "
         "waiting for it, or --set run=…",
         path_, holder);
  }
  const std::string number = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock_, 0) != 0 ||
      ::pwrite(lock_, number.data(), number.size(), 0) != static_cast<ssize_t>(number.size())) {
    const int error = errno;
    ::close(lock_);
    lock_ = -1;
    fail_io(file, "write the lock", std::strerror(error));
  }
}

std::string RunFolder::checkpoint_path(std::int64_t step) const {
  return fmt::format("{}/{}{}", checkpoints_path(), kCheckpointPrefix, step);
}

std::vector<Difference> RunFolder::adopt(const RunConfig& config) {
  std::vector<Difference> changes;
  if (is_run_folder(path_)) {
    const RunConfig stored = parse_config(read_text(config_path(), kMaxConfigBytes), config_path());
    changes = differences(stored, config);
    std::string refused;
    for (const Difference& change : changes)
      if (!change.allowed)
        refused += fmt::format("{}{}: {} (was {})", refused.empty() ? "" : ", ", change.path,
                               change.after, change.before);
    if (!refused.empty())
      fail(ErrorKind::InvalidArgument,
           "[{}] the folder holds a run of another configuration; got {}; expected no change in "
           "what decides the result; try another folder: --set run=…",
           path_, refused);
    if (changes.empty()) return changes;
  } else if (!checkpoints().empty()) {
    fail(ErrorKind::Corruption,
         "[{}] checkpoints without the configuration that made them; expected the file; try "
         "another folder: --set run=…",
         config_path());
  }
  write_text_atomically(config_path(), resolved_yaml(config));
  return changes;
}

std::vector<std::int64_t> RunFolder::checkpoints() const {
  return checkpoints_in(checkpoints_path());
}

std::optional<std::int64_t> RunFolder::latest_checkpoint() const {
  return latest_checkpoint_of(path_);
}

void RunFolder::prune_checkpoints(std::int64_t keep) const {
  for (const std::string& name : names_in(checkpoints_path()))
    if (name.starts_with(kRemovedPrefix)) remove_tree(checkpoints_path() + "/" + name);
  const std::vector<std::int64_t> steps = checkpoints();
  const auto kept = static_cast<std::size_t>(std::max<std::int64_t>(keep, 1));
  for (std::size_t i = 0; i + kept < steps.size(); ++i) {
    const std::string removed =
        fmt::format("{}/{}{}", checkpoints_path(), kRemovedPrefix, steps[i]);
    std::error_code error;
    fs::rename(checkpoint_path(steps[i]), removed, error);
    if (error) fail_io(checkpoint_path(steps[i]), "rename the old checkpoint", error.message());
    remove_tree(removed);
  }
}

bool is_run_folder(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path + "/config.yaml", error);
}

std::optional<std::int64_t> latest_checkpoint_of(const std::string& run_folder) {
  const std::vector<std::int64_t> steps = checkpoints_in(run_folder + "/checkpoints");
  return steps.empty() ? std::nullopt : std::optional(steps.back());
}

}  // namespace outsize
