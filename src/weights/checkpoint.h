// One durable state of a run: a folder that appears whole or not at all, with a checksum per
// tensor.
//   state.safetensors   "<parameter>" in its dtype, "<parameter>:<buffer>" per optimizer buffer
//   state.json          CheckpointInfo, the XXH3-64 of every tensor's bytes, of the other file's
//                       header, and of state.json's other fields
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"
#include "weights/weight_reader.h"

namespace outsize {

struct NamedMemory {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  void* data = nullptr;  // borrowed
};

struct CheckpointInfo {
  std::int64_t step = 0;  // updates made
  std::string cursor;     // of the data, as JSON text (data/batch_source.h)
  int threads = 0;        // bits are promised within thread count and instruction set
  std::string isa;
};

// Writes beside `folder` under the name "unfinished", makes it durable, renames. Memory does not
// depend on sizes. Throws Io (a full disk that nobody waits for included); what was durable before
// stays whole. `reached` is told of the moments between: "mid_checkpoint" before the renaming,
// "before_checkpoint_sync" after it.
void save_checkpoint(
    const std::string& folder, const CheckpointInfo& info, std::span<const NamedMemory> tensors,
    const std::function<void(const char*)>& reached = [](const char*) {});

// Throws Corruption naming file and field, Io.
CheckpointInfo read_checkpoint_info(const std::string& folder);

// Fills the tensors and verifies their checksums. Throws Corruption naming the tensor that is
// missing, differs in type or is damaged.
void load_checkpoint(const std::string& folder, std::span<const NamedMemory> tensors);

// Hands out the bytes of each tensor in turn, in order and in pieces of a MiB times a whole number
// (the last of a tensor: what is left), and verifies its checksum at its end; nothing may be done
// with the bytes that cannot be undone then. Throws Corruption naming the tensor that is missing,
// of another length or damaged.
struct NamedBytes {
  std::string name;
  std::int64_t bytes = 0;
};
void stream_checkpoint(const std::string& folder, std::span<const NamedBytes> tensors,
                       const std::function<void(size_t tensor, std::int64_t offset,
                                                std::span<const char> piece)>& take);

// Verifies every checksum. Throws Corruption as above.
void verify_checkpoint(const std::string& folder);

// The f32 masters of a checkpoint; verifies it first.
std::unique_ptr<WeightReader> open_checkpoint_weights(const std::string& folder);

}  // namespace outsize
