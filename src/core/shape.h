// A shape: sizes per axis, outermost first (row-major). Up to 5 axes, no heap.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace outsize {

class Shape {
 public:
  static constexpr int kMaxDims = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int ndim() const { return ndim_; }
  // Size of axis i; negative i counts from the end. Throws Internal when out of range.
  std::int64_t operator[](int i) const;
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<size_t>(ndim_)}; }
  // Product of the sizes; 1 for a scalar. Sizes are checked at construction, so this cannot
  // overflow.
  std::int64_t numel() const;
  // Product of all sizes but the last; 1 for a scalar.
  std::int64_t rows() const;

  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, kMaxDims> dims_{};
  int ndim_ = 0;
};

// "[4,512,768]"
std::string to_string(const Shape& shape);

}  // namespace outsize
