// The subcommands of `outsize`. Each adds itself to the application and runs from its callback;
// what a command computes lives in the parts below, never here.
#pragma once

#include <CLI/CLI.hpp>

#include "train/residence.h"

namespace outsize {

void add_train_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_logits_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_export_command(CLI::App& app);
void add_data_command(CLI::App& app);
void add_profile_command(CLI::App& app);
void add_doctor_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_bench_generate(CLI::App& bench);  // below `bench`
void add_debug_command(CLI::App& app);
void add_demo_command(CLI::App& app);

// --memory, --disk, --machine: what commands have in common that run a model forward. `residence`
// must outlive the parsing.
void add_residence_options(CLI::App& command, ResidenceOptions& residence);

// Parses the command line and runs one command. Exit status: 2 usage, 3 the user's input, 4 files,
// 5 memory, 70 our bugs, 128 + signal when interrupted.
int run(int argc, char** argv);

// Exit status of the process where a command ended well but not with 0 (interrupted by a signal).
void set_exit_status(int status);

}  // namespace outsize
