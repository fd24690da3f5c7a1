// `outsize demo --offline`: pre-trains a small byte-level model on text that ships with the source.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace outsize {

struct DemoOptions {
  bool offline = true;
  std::string corpus;    // empty: examples/offline/train.txt of the source tree
  std::string held_out;  // empty: held_out.txt beside the corpus
  std::string work = "runs/offline-demo";
  std::int64_t steps = 300;
};

// Trains, then writes held-out loss before and after, and a continuation.
void run_demo(const DemoOptions& options, const std::function<void(std::string_view)>& write);

}  // namespace outsize
