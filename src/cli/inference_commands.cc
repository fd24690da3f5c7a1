// `outsize eval`, `outsize logits`, `outsize generate`.
#include <fmt/format.h>

#include "cli/commands.h"
#include "config/value.h"
#include "core/error.h"
#include "train/inference.h"

namespace outsize {

void add_residence_options(CLI::App& command, ResidenceOptions& residence) {
  command.add_option_function<std::string>(
      "--memory",
      [&residence](const std::string& text) {
        residence.memory = parse_size(text);
        if (!residence.memory)
          fail(ErrorKind::InvalidArgument, "[--memory] got '{}'; expected a size such as 4GiB",
               text);
      },
      "RAM of the whole process, such as 4GiB; else what is free. Never changes the result");
  command.add_option("--disk", residence.disk,
                     "Folder for weights that do not fit; else the model's own");
  command.add_option("--machine", residence.machine, "Machine file to foretell with");
  residence.note = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
}

void add_eval_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("eval", "Loss and perplexity of a model on a data set");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("model", options->model, "Hugging Face folder, GGUF file or run folder")
      ->required();
  command->add_option("--data", options->files, "Text or JSONL file; may be repeated")
      ->required()
      ->allow_extra_args(false);  // the model may follow it
  command->add_option("--sequence-length", options->sequence_length, "Tokens per row")
      ->check(CLI::PositiveNumber);
  command->add_option("--rows", options->rows, "Rows at once; default 2,048 tokens")
      ->check(CLI::PositiveNumber);
  command->add_option("--dtype", options->dtype, "f32 or bf16");
  add_residence_options(*command, options->residence);
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options] { fmt::print("{}\n", evaluate_model(*options)); });
}

void add_logits_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("logits", "Logits of given tokens, as an NPY file");
  auto options = std::make_shared<LogitsOptions>();
  command->add_option("model", options->model, "Hugging Face folder, GGUF file or run folder")
      ->required();
  command->add_option("--tokens", options->tokens, "Token ids, separated by spaces")->required();
  command->add_option("--out", options->out, "f32 [tokens, vocabulary]")->required();
  command->add_option("--dtype", options->dtype, "f32 or bf16");
  add_residence_options(*command, options->residence);
  command->callback([options] { write_logits(*options); });
}

void add_generate_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Continue a prompt");
  auto options = std::make_shared<GenerateOptions>();
  command->add_option("model", options->model, "Hugging Face folder, GGUF file or run folder")
      ->required();
  CLI::Option* prompt = command->add_option("--prompt", options->prompt, "The text to continue");
  CLI::Option* file = command->add_option("--prompts-file", options->prompts_file,
                                          "JSONL rows with `prompt`: one JSON line each");
  prompt->excludes(file);
  command->add_option("--max-new-tokens", options->max_new_tokens, "Most tokens to add")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--temperature", options->sampling.temperature, "0: always the likeliest token")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-k", options->sampling.top_k, "Draw from so many; 0: all")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-p", options->sampling.top_p, "Draw from this share of the mass")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", options->sampling.seed, "Of the draws");
  command->add_option("--dtype", options->dtype, "f32 or bf16");
  add_residence_options(*command, options->residence);
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options, prompt, file] {
    if (prompt->empty() && file->empty()) throw CLI::RequiredError("--prompt or --prompts-file");
    generate_text(*options, [](std::string_view text) {
      fmt::print("{}", text);
      std::fflush(stdout);
    });
  });
}

}  // namespace outsize
