#include "train/demo.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "config/load.h"
#include "core/error.h"
#include "core/file.h"
#include "formats/json.h"
#include "train/inference.h"
#include "train/run.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

constexpr int kByteTokens = 256;
constexpr const char* kEnd = "<|endoftext|>";
constexpr const char* kPrompt = "In the beginning";

// The printable stand-ins of byte-level BPE: printable bytes are themselves, others 256 onwards.
std::string stand_in(int byte, int& next) {
  const bool printable =
      (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
  const int code = printable ? byte : 256 + next++;
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
}

// A tokenizer whose tokens are the bytes, and a model small enough to learn in minutes.
void write_model(const std::string& folder) {
  nlohmann::json vocabulary = nlohmann::json::object();
  int next = 0;
  for (int byte = 0; byte < kByteTokens; ++byte) vocabulary[stand_in(byte, next)] = byte;
  vocabulary[kEnd] = kByteTokens;
  const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", false}};
  const nlohmann::json tokenizer = {
      {"version", "1.0"},
      {"added_tokens",
       {{{"id", kByteTokens},
         {"content", kEnd},
         {"special", true},
         {"single_word", false},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}};
  const nlohmann::json config = {{"model_type", "llama"},         {"hidden_size", 192},
                                 {"intermediate_size", 512},      {"num_hidden_layers", 4},
                                 {"num_attention_heads", 6},      {"num_key_value_heads", 6},
                                 {"vocab_size", kByteTokens + 1}, {"max_position_embeddings", 512},
                                 {"tie_word_embeddings", true},   {"rms_norm_eps", 1e-6},
                                 {"eos_token_id", kByteTokens}};
  fs::create_directories(folder);
  write_text_atomically(folder + "/tokenizer.json", tokenizer.dump());
  write_text_atomically(folder + "/tokenizer_config.json",
                        nlohmann::json{{"eos_token", kEnd}}.dump());
  write_text_atomically(folder + "/config.json", config.dump(2));
}

RunConfig demo_config(const DemoOptions& options, const std::string& corpus,
                      const std::string& held_out) {
  const std::string yaml = fmt::format(
      "model: {0}/model\ninit: random\n"
      "data: {{train: {1}, validation: {2}, sequence_length: 256, long_samples: split}}\n"
      "train: {{steps: {3}, global_batch: 8, dtype: bf16, seed: 1, clip: 1.0,\n"
      "        optimizer: {{name: adamw, lr: 2e-3, betas: [0.9, 0.95], weight_decay: 0.1}},\n"
      "        schedule: {{name: cosine, warmup_steps: {4}}}}}\n"
      "run: {0}/run\n",
      options.work, corpus, held_out, options.steps, std::min<std::int64_t>(20, options.steps / 4));
  return parse_config(yaml, "offline demo");
}

std::pair<double, double> first_and_last_validation(const std::string& metrics) {
  std::ifstream file(metrics);
  std::optional<double> first, last;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json row = parse_json(line, metrics);
    if (!row.contains("validation_loss")) continue;
    last = JsonFields(row, metrics).number("validation_loss");
    if (!first) first = last;
  }
  ensure(first.has_value(), "[demo] the run wrote no validation loss");
  return {*first, *last};
}

}  // namespace

void run_demo(const DemoOptions& options, const std::function<void(std::string_view)>& write) {
  const std::string corpus =
      options.corpus.empty() ? OUTSIZE_EXAMPLES "/offline/train.txt" : options.corpus;
  const std::string held_out = options.held_out.empty()
                                   ? (fs::path(corpus).parent_path() / "held_out.txt").string()
                                   : options.held_out;
  for (const std::string& file : {corpus, held_out})
    if (!fs::exists(file))
      fail(ErrorKind::InvalidArgument, "[demo] the text is missing; got '{}'; try --corpus FILE",
           file);
  write_model(options.work + "/model");
  const RunOutcome outcome = run_training(demo_config(options, corpus, held_out));
  if (outcome.interrupted) {
    write(fmt::format("interrupted after step {}; the same command resumes\n", outcome.steps));
    return;
  }
  const auto [before, after] = first_and_last_validation(options.work + "/run/metrics.jsonl");
  write(fmt::format("\nheld-out loss in bits per byte: {:.3f} before, {:.3f} after {} steps\n",
                    before / std::log(2.0), after / std::log(2.0), outcome.steps));
  write(fmt::format("\n{}", kPrompt));
  GenerateOptions generate;
  generate.model = options.work + "/run";
  generate.prompt = kPrompt;
  generate.max_new_tokens = 200;
  generate.sampling = {.temperature = 0.7, .top_k = 40, .top_p = 1, .seed = 1};
  generate_text(generate, write);
}

}  // namespace outsize
