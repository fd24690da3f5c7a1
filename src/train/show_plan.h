// A plan for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "models/model.h"
#include "train/disk_use.h"
#include "train/engine.h"
#include "train/foretell.h"

namespace outsize {

struct PlanContext {
  std::int64_t rows = 0, accumulation = 0, sequence_length = 0;
  DType dtype = DType::f32;
  std::string optimizer;
  std::int64_t budget_bytes = 0;       // 0: none
  std::int64_t steps = 0;              // 0: unknown
  const Forecast* forecast = nullptr;  // borrowed; absent: no machine file
  std::string machine_note;            // as MachineChoice has it
  const DiskUse* disk = nullptr;       // borrowed
  const Machine* machine = nullptr;    // borrowed; absent: no machine file

  std::int64_t tokens() const { return rows * accumulation * sequence_length; }
};

std::string describe_plan(const Model& model, const TrainingEngine& engine,
                          const PlanContext& context);
nlohmann::json plan_to_json(const Model& model, const TrainingEngine& engine,
                            const PlanContext& context);

// The plans that fit, and what goes to disk and back.
nlohmann::json streams_to_json(const TrainingEngine& engine);

// "1.5 GiB", "312 MiB"
std::string show_bytes(std::int64_t bytes);

// Resident memory beside the arena: program, libraries, tokenizer, transfer buffers. Peak RSS stays
// below arena_bytes + this; tests hold it. Seen: 55 to 75 MiB in training, with the tokenizers of
// 150,000 tokens that models come with at most 95 MiB in export, with one of 520,000 tokens 127 MiB
// in training and 200 MiB in export.
constexpr std::int64_t kProcessBytes = 224ll << 20;

}  // namespace outsize
