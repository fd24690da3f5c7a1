// Weights without a file.
#pragma once

#include "weights/weight_reader.h"

namespace outsize::train_test {

// Weights of every parameter from its name alone.
class RandomReader : public WeightReader {
 public:
  void check(const WeightSource&, const Shape&) const override {}
  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    std::uint64_t hash = 1469598103934665603u;
    for (char c : source.parameter) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    const std::int64_t columns = column_count(shape);
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      std::uint64_t bits =
          hash + static_cast<std::uint64_t>(first_row * columns + i) * 0x9E3779B97F4A7C15u;
      bits = (bits ^ (bits >> 31)) * 0xBF58476D1CE4E5B9u;
      const double unit = static_cast<double>((bits >> 20) & 0xFFFFF) / (1 << 20);
      destination[i] = static_cast<float>(shape.ndim() == 1 ? 0.6 + 0.8 * unit : unit - 0.5) * 0.5f;
    }
  }
};

}  // namespace outsize::train_test
