// Writing GGUF version 3: the header is laid out from the declarations, then f32 values stream
// through and are stored as F32, F16, BF16 or Q8_0. Memory does not depend on tensor sizes. The
// file appears whole in finish(), or not at all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/shape.h"
#include "formats/gguf_quants.h"
#include "formats/gguf_value.h"

namespace outsize {

struct GgufTensorSpec {
  std::string name;
  GgmlType type = GgmlType::f32;
  Shape shape;  // outermost first; at most 4 axes; the last a multiple of 32 for Q8_0
};

class GgufWriter {
 public:
  // Writes the header: the metadata as given (general.architecture, general.file_type and, with
  // Q8_0, general.quantization_version = 2 are the caller's to give), alignment 32. Throws
  // InvalidArgument for names that are repeated, empty or longer than 63 bytes, for types other
  // than the four, for shapes they do not take; Io as AtomicFile does.
  GgufWriter(const std::string& path, const GgufMetadata& metadata,
             std::vector<GgufTensorSpec> tensors);

  const std::vector<GgufTensorSpec>& tensors() const { return tensors_; }
  // Header and padding included.
  std::uint64_t file_bytes() const { return file_bytes_; }
  // The next `count` elements, in declaration order; pieces may end anywhere. Throws
  // InvalidArgument beyond the last tensor, and for values that Q8_0 cannot hold (NaN, infinity,
  // beyond 8.3e6); Io.
  void append_f32(const float* values, std::int64_t count);
  // Makes the file durable under its name. Throws InvalidArgument naming the first tensor whose
  // elements are missing; Io.
  void finish();

 private:
  void write_header(const GgufMetadata& metadata);
  void write_blocks(const float* values, std::int64_t blocks);
  void end_tensors();
  void pad();

  AtomicFile file_;
  std::vector<GgufTensorSpec> tensors_;
  std::uint64_t file_bytes_ = 0;
  std::size_t current_ = 0;     // tensor being written
  std::int64_t written_ = 0;    // its elements taken so far
  std::vector<float> pending_;  // elements of a block not yet whole
  std::vector<char> buffer_;
};

}  // namespace outsize
