// `outsize`: parses the command line, runs one command, and turns errors into one line and a
// status.
#include <cstdio>
#include <exception>
#include <new>

#include "cli/commands.h"
#include "core/error.h"

namespace outsize {
namespace {

int exit_status = 0;

// Usage errors 2, the user's input 3, files 4, memory 5, our bugs 70.
int status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::InvalidArgument:
    case ErrorKind::Unsupported:
      return 3;
    case ErrorKind::Io:
    case ErrorKind::Corruption:
      return 4;
    case ErrorKind::OutOfMemory:
      return 5;
    default:
      return 70;
  }
}

}  // namespace

int run(int argc, char** argv) {
  CLI::App app{
      "Outsize trains, evaluates and runs language models inside a planned memory budget."};
  app.set_version_flag("--version", "outsize " OUTSIZE_VERSION);
  app.require_subcommand(1);
  app.set_help_all_flag("--help-all", "Help of all commands");
  add_train_command(app);
  add_plan_command(app);
  add_eval_command(app);
  add_generate_command(app);
  add_logits_command(app);
  add_tokenize_command(app);
  add_export_command(app);
  add_data_command(app);
  add_profile_command(app);
  add_doctor_command(app);
  add_bench_command(app);
  add_debug_command(app);
  add_demo_command(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : 2;
  } catch (const Error& error) {
    std::fprintf(stderr, "outsize: %s: %s\n", name_of(error.kind()), error.what());
    return status_of(error.kind());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "outsize: OutOfMemory: the host refused memory; try a smaller batch\n");
    return status_of(ErrorKind::OutOfMemory);
  } catch (const std::exception& error) {  // every known cause has its own kind: this is our bug
    std::fprintf(stderr, "outsize: Internal: %s; please report it\n", error.what());
    return status_of(ErrorKind::Internal);
  }
  return exit_status;
}

void set_exit_status(int status) {
  exit_status = status;
}

}  // namespace outsize
