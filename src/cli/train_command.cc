// `outsize train`, `outsize plan`.
#include <fmt/format.h>

#include "cli/commands.h"
#include "config/load.h"
#include "config/reference.h"
#include "train/plan_report.h"
#include "train/run.h"
#include "train/run_setup.h"

namespace outsize {
namespace {

struct RunOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string trace, machine, curve, svg;
  bool json = false;
};

std::shared_ptr<RunOptions> add_run_options(CLI::App& command) {
  auto options = std::make_shared<RunOptions>();
  command.add_option("config", options->config, "YAML file; options below")->required();
  command.add_option("--set", options->overrides, "key=value, over the file; may be repeated")
      ->allow_extra_args(false);  // the configuration may follow it
  command.add_option_function<std::string>(
      "--max-writes",
      [options](const std::string& size) {
        options->overrides.push_back("budget.max_writes=" + size);
      },
      "Most bytes the run may write to disks, such as 10TiB: budget.max_writes");
  command.footer(config_help());
  return options;
}

}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("train", "Train or fine-tune; the same command resumes");
  auto options = add_run_options(*command);
  command->add_option("--trace", options->trace,
                      "File for the last step's tasks, foretold beside measured (Perfetto)");
  command->callback([options] {
    const RunOutcome outcome =
        run_training(load_config(options->config, options->overrides), options->trace);
    if (!outcome.interrupted) return;
    if (outcome.steps > 0)
      fmt::print(stderr, "interrupted and saved after step {}; the same command resumes\n",
                 outcome.steps);
    else
      fmt::print(stderr, "interrupted before a step was saved; the same command begins again\n");
    set_exit_status(128 + outcome.signal);
  });
}

void add_plan_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("plan", "Show what a run will take, before it starts");
  auto options = add_run_options(*command);
  command->add_flag("--json", options->json, "One JSON object");
  command->add_option("--machine", options->machine,
                      "Machine file, also of another computer: its rates, and its RAM as budget");
  command->add_option("--trace", options->trace, "File for the foretold step (Perfetto)");
  CLI::Option* curve =
      command->add_option("--curve", options->curve, "memory: step time over memory budgets")
          ->check(CLI::IsMember({"memory"}));
  command->add_option("--svg", options->svg, "File for a picture of the curve")->needs(curve);
  command->callback([options] {
    RunConfig config = load_config(options->config, options->overrides);
    if (!options->machine.empty()) plan_for(options->machine, config);
    const auto report = [](const std::string& what) {
      fmt::print(stderr, "planning {} ...\n", what);
    };
    fmt::print("{}", options->curve.empty()
                         ? show_plan(config, options->json, options->trace)
                         : show_memory_curve(config, options->json, options->svg, report));
  });
}

}  // namespace outsize
