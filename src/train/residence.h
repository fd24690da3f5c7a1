// Where the weights of evaluation and generation live, from options to plan, and what is said of
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "train/foretell.h"
#include "train/forward_engine.h"
#include "train/generator.h"

namespace outsize {

// Where the model may live. Results do not depend on it.
struct ResidenceOptions {
  std::optional<std::int64_t> memory;    // bytes of the whole process; absent: what is free
  std::string disk;                      // folder for what does not fit; empty: near the model
  std::string machine = "machine.json";  // foretells, where the file is there
  // Takes a line for people, when weights do not fit.
  std::function<void(const std::string& line)> note = [](const std::string&) {};
};

class Residence {
 public:
  // `model`: the path as given. Throws as read_machine, OutOfMemory as arena_budget.
  Residence(const ResidenceOptions& options, const std::string& model);

  // Refers to this object.
  ForwardOptions forward() const;
  // Where weights are streamed: how many from where, and the tokens per second that one run of
  // `tokens` tokens in `seconds` (absent: not foretold) makes.
  void tell(const ForwardEngine& engine, std::optional<double> seconds, std::int64_t tokens) const;
  // The same for a token.
  void tell(const Generator& generator) const;

 private:
  ResidenceOptions options_;
  std::int64_t budget_bytes_;
  std::string folder_;
  MachineChoice machine_;
};

}  // namespace outsize
