// `outsize profile`, `outsize doctor`.
#include <fmt/format.h>

#include "cli/commands.h"
#include "costs/measure_ops.h"
#include "machine/doctor.h"
#include "machine/machine_file.h"
#include "machine/profile.h"
#include "report/run_folder.h"
#include "weights/checkpoint.h"

namespace outsize {
namespace {

struct ProfileCommand {
  std::string disk, out = "machine.json";
};

void profile(const ProfileCommand& command) {
  ProfileOptions options;
  if (!command.disk.empty()) options.disk = command.disk;
  options.report = [](std::string_view what) { fmt::print(stderr, "measuring {} ...\n", what); };
  Machine machine = profile_machine(options);
  MeasureOptions costs;
  costs.report = options.report;
  measure_costs(costs, machine);
  write_machine(machine, command.out);
  fmt::print("{}written to {}\n", describe(machine), command.out);
}

void verify_run(const std::string& folder) {
  const RunFolder run(folder);
  for (std::int64_t step : run.checkpoints()) {
    verify_checkpoint(run.checkpoint_path(step));
    fmt::print("step {}: every checksum holds; the run can be resumed from it\n", step);
  }
}

}  // namespace

void add_profile_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("profile", "Measure this computer");
  auto options = std::make_shared<ProfileCommand>();
  command->add_option("--disk", options->disk, "Folder whose disk is measured too");
  command->add_option("--out", options->out, "Machine file to write");
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
