// Throughput of encode() on one core, in bytes of text per second.
//   bench_tokenizer [benchmark options] TEXT MODEL...
// for the text file and the tokenizers (folders or GGUF files) to measure; without them the small
// vocabularies of tests/tokenizer on this file's own text, which only shows that it runs.
#include <benchmark/benchmark.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "tokenizer/tokenizer.h"

namespace {

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void encode(benchmark::State& state, const std::string& model, const std::string& text) {
  const auto tokenizer = outsize::load_tokenizer(model);
  std::vector<outsize::TokenId> ids;
  for (auto _ : state) {
    ids.clear();
    tokenizer->encode(text, false, ids);
    benchmark::DoNotOptimize(ids.data());
  }
  if (tokenizer->decode(ids, false).empty() != text.empty()) state.SkipWithError("no ids");
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["bytes_per_token"] =
      static_cast<double>(text.size()) / static_cast<double>(ids.size());
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const std::string data = OUTSIZE_SOURCE_DIR "/tests/tokenizer/data/";
  std::string text_path = OUTSIZE_SOURCE_DIR "/bench/tokenizer_bench.cc";
  std::vector<std::string> models{data + "gpt2", data + "llama3", data + "qwen2",
                                  data + "spm.gguf"};
  if (argc > 2) {
    text_path = argv[1];
    models.assign(argv + 2, argv + argc);
  }
  const std::string text = read_text_file(text_path);
  for (const std::string& model : models) {
    benchmark::RegisterBenchmark(("encode/" + model).c_str(), encode, model, text)
        ->Unit(benchmark::kMillisecond);
  }
  try {
    benchmark::RunSpecifiedBenchmarks();
  } catch (const outsize::Error& error) {
    fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
