// Parameter values by name, from wherever a model lies: Hugging Face folder, GGUF file or the
// checkpoint of a run; as f32 rows of the program's [out,in] layout, or as the bf16 they are stored
// in. Streams on all threads: memory does not depend on tensor sizes.
#pragma once

#include <memory>
#include <string>

#include "core/half.h"
#include "core/shape.h"
#include "models/model.h"

namespace outsize {

class WeightReader {
 public:
  virtual ~WeightReader() = default;
  // Rows [first_row, first_row + rows) of the parameter, whose shape is [R,C] (or [R]: rows of one
  // element), into destination[rows·C]. Throws InvalidArgument naming file and tensor when it is
  // missing or has another shape, Corruption, Io.
  virtual void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
                    std::int64_t rows, float* destination) const = 0;
  // All rows as they are stored, where that is bf16 in the program's layout: nothing is converted.
  // Otherwise false, and nothing is written. Throws as read() does.
  virtual bool read_bf16(const WeightSource&, const Shape&, bf16*) const { return false; }
  // Throws as read() would, without reading values.
  virtual void check(const WeightSource& source, const Shape& shape) const = 0;
};

std::unique_ptr<WeightReader> open_hf_weights(const std::string& folder);
std::unique_ptr<WeightReader> open_gguf_weights(const std::string& file);

// Where llama.cpp keeps row `row` of a q or k weight: halves of each head side by side, pair by
// pair.
std::int64_t interleaved_row(std::int64_t row, std::int64_t head_rows);

// Rows of a parameter: its first axis; columns: the rest.
inline std::int64_t row_count(const Shape& shape) {
  return shape.ndim() == 0 ? 1 : shape[0];
}
inline std::int64_t column_count(const Shape& shape) {
  return shape.ndim() < 2 ? 1 : shape[1];
}

// Rows that fit a transfer buffer of this many f32 elements; at least one.
constexpr std::int64_t kTransferElements = 4 << 20;
inline std::int64_t transfer_rows(const Shape& shape) {
  const std::int64_t rows = kTransferElements / (column_count(shape) > 0 ? column_count(shape) : 1);
  return rows > 0 ? rows : 1;
}

}  // namespace outsize
