// NPY files, format version 1.0
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), C order, little-endian:
// a writer that streams, and a small reader for tests and tools.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"
#include "core/shape.h"

namespace outsize {

// The file appears whole in finish(), or not at all. Memory does not depend on the shape.
class NpyWriter {
 public:
  // Throws InvalidArgument for bf16, which NPY does not know; Io as AtomicFile does.
  NpyWriter(const std::string& path, DType dtype, const Shape& shape);

  // The next elements in C order; pieces may end anywhere. Throws InvalidArgument beyond the shape,
  // Io.
  void append(const void* elements, std::int64_t count);
  // Throws InvalidArgument when elements are missing, Io.
  void finish();

 private:
  AtomicFile file_;
  std::int64_t element_bytes_;
  std::int64_t left_;
};

struct NpyArray {
  DType dtype = DType::f32;
  Shape shape;
  std::vector<char> bytes;
};

// Reads the whole array. Throws Corruption when the file is not valid, Unsupported for other
// element types, Fortran order or more than 5 axes, Io.
NpyArray read_npy(const std::string& path);

}  // namespace outsize
