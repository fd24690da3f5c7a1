// The f32 masters in a run's state store, for evaluation, generation and export.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "weights/weight_reader.h"

namespace outsize {

// The step that the store in `run_folder` stands at; absent when there is none. Throws as
// StateStore::open: Io also while a process trains in that folder. InvalidArgument when a crash has
// left a step half done.
std::optional<std::int64_t> stored_step_of(const std::string& run_folder);

// Throws as StateStore::open; reads throw Corruption naming what is damaged.
std::unique_ptr<WeightReader> open_store_weights(const std::string& run_folder);

}  // namespace outsize
