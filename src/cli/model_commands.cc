// `outsize tokenize`, `outsize export`, `outsize data preview`.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/error.h"
#include "core/file.h"
#include "data/preview.h"
#include "formats/json.h"
#include "train/export_model.h"
#include "train/model_source.h"

namespace outsize {
namespace {

struct TokenizeOptions {
  std::string model, file;
  bool json = false, decode = false, parse_special = true;
};

constexpr std::uint64_t kMaxTextBytes = 1ull << 32;

void tokenize(const TokenizeOptions& options) {
  const auto tokenizer = ModelSource(options.model).tokenizer();
  const std::string text = read_text(options.file, kMaxTextBytes);
  if (options.decode) {
    const nlohmann::json json = parse_json(text, options.file);
    const auto wide = json.is_array() ? nlohmann::json{{"ids", json}} : json;
    std::vector<TokenId> ids;
    for (std::int64_t id : JsonFields(wide, options.file).integers("ids")) {
      if (id < 0 || id >= tokenizer->vocabulary_size())
        fail(ErrorKind::InvalidArgument, "[tokenize] {}: no such token; got {}; expected 0 to {}",
             options.file, id, tokenizer->vocabulary_size() - 1);
      ids.push_back(static_cast<TokenId>(id));
    }
    fmt::print("{}", tokenizer->decode(ids, false));
    return;
  }
  const std::vector<TokenId> ids = tokenizer->Tokenizer::encode(text, options.parse_special);
  if (options.json)
    fmt::print("{}\n", nlohmann::json{{"ids", ids}}.dump());
  else
    fmt::print("{}\n", fmt::join(ids, " "));
}

struct PreviewOptions {
  std::string model;
  std::vector<std::string> files;
  std::int64_t sequence_length = 512, count = 5;
  std::string long_samples = "error";
};

void show_preview(const PreviewOptions& options) {
  const auto tokenizer = ModelSource(options.model).tokenizer();
  DataOptions data;
  data.files.assign(options.files.begin(), options.files.end());
  data.sequence_length = options.sequence_length;
  data.shuffle = false;
  using Rule = DataOptions::LongSamples;
  for (Rule rule : {Rule::error, Rule::truncate, Rule::split, Rule::drop})
    if (options.long_samples == name_of(rule)) data.long_samples = rule;
  fmt::print("{}", preview(data, *tokenizer, options.count, {.ansi = isatty(STDOUT_FILENO) != 0}));
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids, and back");
  auto options = std::make_shared<TokenizeOptions>();
  command->add_option("model", options->model, "Hugging Face folder, GGUF file or run folder")
      ->required();
  command->add_option("--file", options->file, "Text, or with --decode a JSON list of ids")
      ->required();
  command->add_flag("--json", options->json, "One JSON object");
  command->add_flag("--decode", options->decode, "Ids to text");
  command->add_flag("--parse-special,!--no-parse-special", options->parse_special,
                    "Special tokens in the text become their ids");
  command->callback([options] { tokenize(*options); });
}

void add_export_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("export", "Write a model as a Hugging Face folder or GGUF file");
  auto options = std::make_shared<ExportOptions>();
  command->add_option("model", options->model, "Run folder, Hugging Face folder or GGUF file")
      ->required();
  command->add_option("--format", options->format, "hf or gguf")
      ->required()
      ->check(CLI::IsMember({"hf", "gguf"}));
  command->add_option("--dtype", options->dtype, "f32, bf16, f16; gguf also q8_0")
      ->check(CLI::IsMember({"f32", "bf16", "f16", "q8_0"}));
  command->add_option("--out", options->out, "Folder, or GGUF file")->required();
  command->callback([options] { export_model(*options); });
}

void add_data_command(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Look at a data set");
  data->require_subcommand(1);
  CLI::App* command =
      data->add_subcommand("preview", "Samples as they will be trained, masks marked");
  auto options = std::make_shared<PreviewOptions>();
  command->add_option("model", options->model, "MODEL whose tokenizer is used")->required();
  command->add_option("files", options->files, "Text or JSONL files")->required();
  command->add_option("--sequence-length", options->sequence_length, "Tokens per row")
      ->check(CLI::PositiveNumber);
  command->add_option("--count", options->count, "Samples to show")->check(CLI::NonNegativeNumber);
  command->add_option("--long-samples", options->long_samples, "error, truncate, split or drop")
      ->check(CLI::IsMember({"error", "truncate", "split", "drop"}));
  command->callback([options] { show_preview(*options); });
}

}  // namespace outsize
