#include "train/residence.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "machine/file_system.h"
#include "train/run_setup.h"
#include "train/show_plan.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

// Beside the model, whose disk holds one already; where that is no local disk or may not be written
// to, where temporary files go.
std::string folder_near(const std::string& model) {
  std::error_code ignored;
  fs::path folder =
      fs::is_directory(model, ignored) ? fs::path(model) : fs::path(model).parent_path();
  if (folder.empty()) folder = ".";
  if (fs::is_directory(folder, ignored) && ::access(folder.c_str(), W_OK) == 0 &&
      file_system_of(folder.string()).kind == "local")
    return folder.string();
  return fs::temp_directory_path().string();
}

}  // namespace

Residence::Residence(const ResidenceOptions& options, const std::string& model)
    : options_(options),
      budget_bytes_(arena_budget(options.memory)),
      folder_(options.disk.empty() ? folder_near(model) : options.disk),
      machine_(choose_machine(options.machine)) {}

ForwardOptions Residence::forward() const {
  return {budget_bytes_, folder_, machine_.machine ? &*machine_.machine : nullptr};
}

void Residence::tell(const ForwardEngine& engine, std::optional<double> seconds,
                     std::int64_t tokens) const {
  const std::int64_t streamed = engine.streamed_bytes();
  if (streamed == 0) return;
  std::string line = fmt::format(
      "weights  {} of {} do not fit: they lie in {} until the end; {} are read per {}",
      show_bytes(streamed), show_bytes(engine.weight_bytes()), folder_,
      show_bytes(engine.read_bytes()), tokens == 1 ? "token" : fmt::format("{} tokens", tokens));
  if (seconds)
    line += fmt::format("; {:.3g} tok/s foretold", static_cast<double>(tokens) / *seconds);
  options_.note(line);
  if (!machine_.note.empty()) options_.note("         " + machine_.note);
  if (file_system_of(folder_).kind == "memory")
    options_.note(fmt::format("         {} is memory, not a disk: try --disk", folder_));
}

void Residence::tell(const Generator& generator) const {
  if (generator.looks_up_rows())
    options_.note("weights  rows of the embedding are read from the model as tokens need them");
  tell(generator.engine(), generator.token_seconds(), 1);
}

}  // namespace outsize
