// `outsize demo --offline`: learns from the text that ships with the source, before and after
// shown.
#include <fmt/format.h>

#include "cli/commands.h"
#include "train/demo.h"

namespace outsize {

void add_demo_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("demo", "Pre-train a small model on the text that ships along");
  auto options = std::make_shared<DemoOptions>();
  command->add_flag("--offline", options->offline, "Needs no network (the only kind so far)");
  command->add_option("--corpus", options->corpus, "Another text file");
  command->add_option("--work", options->work, "Folder for the run");
  command->add_option("--steps", options->steps, "Updates")->check(CLI::PositiveNumber);
  command->callback([options] {
    run_demo(*options, [](std::string_view text) {
      fmt::print("{}", text);
      std::fflush(stdout);
    });
  });
}

}  // namespace outsize
