#include "train/tiny.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/rng.h"

namespace outsize::train_test {
namespace {

nlohmann::json config_of(const std::string& family, const Size& size) {
  if (family == "gpt2")
    return {{"model_type", "gpt2"},      {"n_embd", size.width},    {"n_layer", size.layers},
            {"n_head", size.width / 8},  {"eos_token_id", 256},     {"n_positions", size.context},
            {"vocab_size", kVocabulary}, {"initializer_range", 0.1}};
  nlohmann::json config = {{"model_type", family},
                           {"hidden_size", size.width},
                           {"intermediate_size", size.intermediate},
                           {"num_hidden_layers", size.layers},
                           {"num_attention_heads", 4},
                           {"num_key_value_heads", family == "llama" ? 2 : 1},
                           {"vocab_size", kVocabulary},
                           {"max_position_embeddings", size.context},
                           {"rms_norm_eps", 1e-6},
                           {"eos_token_id", 256},
                           {"initializer_range", 0.1},
                           {"tie_word_embeddings", family != "llama"}};
  if (family == "gemma3_text") {
    config["head_dim"] = 16;
    config["sliding_window"] = 5;
    config["query_pre_attn_scalar"] = 16;
    for (std::int64_t layer = 0; layer < size.layers; ++layer)
      config["layer_types"].push_back(layer % 2 == 0 ? "sliding_attention" : "full_attention");
  }
  return config;
}

}  // namespace

std::string tiny_config(const std::string& family) {
  return config_of(family, {}).dump();
}

std::unique_ptr<Model> wide_model(std::int64_t layers) {
  return model_from_hf_config({{"model_type", "qwen2"},
                               {"hidden_size", 128},
                               {"intermediate_size", 512},
                               {"num_hidden_layers", layers},
                               {"num_attention_heads", 4},
                               {"num_key_value_heads", 2},
                               {"vocab_size", 1000},
                               {"max_position_embeddings", 256},
                               {"rms_norm_eps", 1e-6},
                               {"tie_word_embeddings", true}},
                              "config.json");
}

std::unique_ptr<Model> tiny_model(const std::string& family, const Size& size) {
  return model_from_hf_config(config_of(family, size), "tiny config.json");
}

std::string memory_folder() {
  return std::filesystem::exists("/dev/shm") ? "/dev/shm"
                                             : std::filesystem::temp_directory_path().string();
}

std::string byte_tokenizer() {
  nlohmann::json vocabulary = nlohmann::json::object();
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int code = printable ? byte : next++;
    const char wide[] = {static_cast<char>(0xC0 | (code >> 6)),
                         static_cast<char>(0x80 | (code & 0x3F))};
    const std::string text =
        code < 0x80 ? std::string(1, static_cast<char>(code)) : std::string(wide, sizeof wide);
    vocabulary[text] = byte;
  }
  vocabulary["<|endoftext|>"] = 256;
  const nlohmann::json level = {{"type", "ByteLevel"},
                                {"add_prefix_space", false},
                                {"trim_offsets", true},
                                {"use_regex", true}};
  const nlohmann::json end = {{"id", 256},          {"content", "<|endoftext|>"},
                              {"special", true},    {"single_word", false},
                              {"lstrip", false},    {"rstrip", false},
                              {"normalized", false}};
  const nlohmann::json model = {
      {"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}};
  return nlohmann::json{
      {"version", "1.0"},       {"added_tokens", {end}},     {"normalizer", nullptr},
      {"pre_tokenizer", level}, {"post_processor", nullptr}, {"decoder", level},
      {"model", model}}
      .dump();
}

Batch random_batch(std::int64_t rows, std::int64_t length, std::int64_t vocabulary,
                   std::uint64_t seed) {
  const Rng rng(seed, 5);
  Batch batch;
  std::int32_t start = 0;
  for (std::int64_t i = 0; i < rows * length; ++i) {
    const auto at = static_cast<std::uint64_t>(i) * 4;
    const auto limit = static_cast<std::uint64_t>(vocabulary);
    if (i % length == 0 || rng.below(at, 17) == 0) start = static_cast<std::int32_t>(i);
    batch.tokens.push_back(static_cast<std::int32_t>(rng.below(at + 1, limit)));
    batch.positions.push_back(static_cast<std::int32_t>(i) - start);
    batch.document_start.push_back(start);
    const bool trained = rng.below(at + 2, 3) != 0;
    batch.targets.push_back(trained ? static_cast<std::int32_t>(rng.below(at + 3, limit)) : -1);
    batch.target_tokens += trained;
  }
  batch.real_tokens = rows * length;
  return batch;
}

TemporaryFolder::TemporaryFolder() {
  path_ = (std::filesystem::temp_directory_path() / "outsize-train-test-XXXXXX").string();
  if (!::mkdtemp(path_.data())) fail(ErrorKind::Io, "[test] no temporary folder");
}

std::string TemporaryFolder::write(const std::string& name, std::string_view text) const {
  const std::filesystem::path file = path(name);
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
  return file.string();
}

}  // namespace outsize::train_test
