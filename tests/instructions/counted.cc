// Small fixed programs whose instructions check_counts.py counts: only what runs inside
// counted_region() is counted. Prints the units of work, which counts are divided by.
// Usage: counted executor | counted tokenizer FOLDER_OR_GGUF TEXT_FILE
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "exec/executor.h"
#include "models/model.h"
#include "tokenizer/tokenizer.h"

// The name by which the counter finds it.
extern "C" [[gnu::noinline]] void counted_region(const std::function<void()>& work) {
  work();
  asm volatile("");  // not a tail call: the counter waits for the return
}

namespace outsize {
namespace {

// Tasks whose kernels do nothing.
double executor_tasks() {
  constexpr int kLayers = 40, kRuns = 25;
  const auto model = model_from_hf_config({{"model_type", "gpt2"},
                                           {"n_layer", kLayers},
                                           {"n_embd", 8},
                                           {"n_head", 2},
                                           {"vocab_size", 11},
                                           {"n_positions", 8}},
                                          "config.json");
  const Program program = model->program(
      {.mode = BuildOptions::Mode::evaluation, .tokens = 8, .row_length = 8, .dtype = DType::f32});
  CompiledProgram compiled(program, {.kernels = KernelChoice::null});
  Plan plan = make_plan({&program, compiled.profiles(), std::nullopt, 0});
  const auto tasks = static_cast<double>(plan.tasks.size());
  auto arena = std::make_shared<HostArena>(plan.arena_bytes);
  Executor executor(compiled, std::move(plan), std::move(arena));
  executor.run({});
  counted_region([&] {
    for (int run = 0; run < kRuns; ++run) executor.run({});
  });
  return tasks * kRuns;
}

double tokenizer_bytes(const char* model, const char* text_path) {
  std::ifstream file(text_path, std::ios::binary);
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string text = stream.str();
  const auto tokenizer = load_tokenizer(model);
  std::vector<TokenId> ids;
  tokenizer->encode(text.substr(0, 100), false, ids);  // what is made on first use
  ids.clear();
  counted_region([&] { tokenizer->encode(text, false, ids); });
  if (ids.empty()) fail(ErrorKind::Internal, "[counted] {}: no ids", text_path);
  return static_cast<double>(text.size());
}

double run(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "executor" && argc == 2) return executor_tasks();
  if (what == "tokenizer" && argc == 4) return tokenizer_bytes(argv[2], argv[3]);
  fail(ErrorKind::InvalidArgument, "[counted] expected executor, or tokenizer MODEL TEXT");
}

}  // namespace
}  // namespace outsize

int main(int argc, char** argv) {
  outsize::set_thread_count(1);
  try {
    std::printf("%.0f\n", outsize::run(argc, argv));
    return 0;
  } catch (const outsize::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
