// `outsize profile`, `outsize doctor`.
#include <fmt/format.h>

#include "cli/commands.h"
#include "config/load.h"
#include "core/error.h"
#include "core/parallel.h"
#include "costs/measure_ops.h"
#include "costs/product_rate.h"
#include "machine/doctor.h"
#include "machine/machine_file.h"
#include "machine/profile.h"
#include "report/run_folder.h"
#include "storage/real_disk.h"
#include "storage/store.h"
#include "train/measure_run.h"
#include "train/store_folder.h"
#include "weights/checkpoint.h"

namespace outsize {
namespace {

struct ProfileCommand {
  std::string disk, run, out = "machine.json";
  std::vector<std::string> overrides;
};

// Adds the ops of one run at their own sizes to a machine file that is there.
void profile_run(const ProfileCommand& command) {
  Machine machine = read_machine(command.out);
  fmt::print(stderr, "measuring the ops of {} ...\n", command.run);
  const RunConfig config = load_config(command.run, command.overrides);
  if (config.threads > 0) set_thread_count(config.threads);
  const std::vector<OpCostRow> rows = measure_run(config, machine);
  write_machine(machine, command.out);
  fmt::print("{}{} calls written to {}; foretold is what its rates said before\n", describe(rows),
             rows.size(), command.out);
}

void profile(const ProfileCommand& command) {
  if (!command.run.empty()) {
    profile_run(command);
    return;
  }
  ProfileOptions options;
  options.report = [](std::string_view what) { fmt::print(stderr, "measuring {} ...\n", what); };
  if (!command.disk.empty()) {
    options.disk = command.disk;
    const auto products = std::make_shared<ProductRate>();
    options.products = [products](double seconds) { return products->gflops(seconds); };
  }
  Machine machine = profile_machine(options);
  MeasureOptions costs;
  costs.report = options.report;
  measure_costs(costs, machine);
  write_machine(machine, command.out);
  fmt::print("{}written to {}\n", describe(machine), command.out);
}

// Both steps that the store remembers; the older one is usually overwritten in part.
bool verify_store(const std::string& folder) {
  const auto disk = make_real_disk();
  const std::string own = store_folder(folder);
  if (!StateStore::exists(*disk, own)) return false;
  const auto store = StateStore::open(*disk, own, {});
  bool resumable = false;
  for (const StepReport& step : store->verify()) {
    if (!step.record_valid) {
      fmt::print("a commit record is not valid: torn by a crash, or damaged\n");
      continue;
    }
    resumable = resumable || step.resumable;
    if (step.resumable) {
      fmt::print("step {}: every checksum holds; the run can be resumed from it\n", step.step);
    } else if (!step.newest) {
      fmt::print("step {}: overwritten by the step after it\n", step.step);
    } else {
      fmt::print("step {}: damaged\n", step.step);
      for (const StoreDamage& damage : step.damage) {
        const GroupSpec& group = store->layout().groups[static_cast<size_t>(damage.part.group)];
        fmt::print("  {}: {} bytes of '{}' from byte {} of {}\n", group.name, damage.part.bytes,
                   is_log(damage.part.extent)
                       ? "gradient log"
                       : group.extents[static_cast<size_t>(damage.part.extent)].name,
                   damage.file_offset, store->path());
      }
    }
  }
  if (const auto half = store->pending(); half && resumable)
    fmt::print("step {}: {} of {} groups updated; `outsize train` finishes it from its log\n",
               half->step, half->first_group, store->layout().groups.size());
  if (!resumable)
    fail(ErrorKind::Corruption, "[doctor] {}: no step can be resumed; nothing was changed", folder);
  return true;
}

void verify_run(const std::string& folder) {
  const RunFolder run(folder);
  if (verify_store(folder)) return;
  std::optional<Error> first;
  for (std::int64_t step : run.checkpoints()) try {
      verify_checkpoint(run.checkpoint_path(step));
      fmt::print("step {}: every checksum holds; the run can be resumed from it\n", step);
    } catch (const Error& error) {
      fmt::print("step {}: damaged: {}\n", step, error.what());
      if (!first) first = error;
    }
  if (first) throw Error(*first);
}

}  // namespace

void add_profile_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("profile", "Measure this computer");
  auto options = std::make_shared<ProfileCommand>();
  command->add_option("--disk", options->disk, "Folder whose disk is measured too");
  command->add_option("--out", options->out, "Machine file to write");
  CLI::Option* run =
      command->add_option("--run", options->run,
                          "Configuration of a run: only adds what its ops take at their own sizes");
  run->excludes("--disk");
  command->add_option("--set", options->overrides, "key=value, over that file; may be repeated")
      ->allow_extra_args(false)
      ->needs(run);
  command->callback([options] { profile(*options); });
}

void add_doctor_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("doctor", "Check this computer, or the checkpoints of a run");
  auto folder = std::make_shared<std::string>(".");
  command->add_option("folder", *folder, "Run folder to verify, or where runs shall lie");
  command->callback([folder] {
    if (is_run_folder(*folder)) verify_run(*folder);
    fmt::print("{}", describe(run_doctor(*folder)));
  });
}

}  // namespace outsize
