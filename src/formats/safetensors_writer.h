// Writing safetensors: the header is laid out from the declarations, then the bytes stream through,
// so memory does not depend on tensor sizes. The file appears whole in finish(), or not at all.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"
#include "core/shape.h"

namespace outsize {

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;  // outermost first
};

// The same tensors, wider dtypes first and otherwise in the given order: with this order every
// tensor is aligned to its element, which torch needs to read it in place.
std::vector<TensorSpec> widest_first(std::vector<TensorSpec> tensors);

class SafetensorsWriter {
 public:
  // Writes the header. "format": "pt" is added to the metadata, without which some loaders refuse
  // the file. Throws InvalidArgument for a name given twice, a name that is not UTF-8, or an order
  // that leaves a tensor unaligned (see widest_first); Io as AtomicFile does.
  SafetensorsWriter(const std::string& path, std::vector<TensorSpec> tensors,
                    std::map<std::string, std::string> metadata = {});

  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  // Header included.
  std::uint64_t file_bytes() const { return file_bytes_; }
  // The next bytes, in declaration order; pieces may end anywhere. Throws InvalidArgument beyond
  // the last tensor, Io.
  void append(const void* data, std::size_t bytes);
  // Makes the file durable under its name. Throws InvalidArgument naming the tensor whose bytes are
  // missing; Io.
  void finish();

 private:
  AtomicFile file_;
  std::vector<TensorSpec> tensors_;
  std::vector<std::uint64_t> ends_;  // file offset of each tensor's end
  std::uint64_t file_bytes_ = 0;
};

}  // namespace outsize
