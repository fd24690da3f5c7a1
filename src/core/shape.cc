#include "core/shape.h"

#include "core/error.h"

namespace outsize {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  if (dims.size() > kMaxDims)
    fail(ErrorKind::InvalidArgument, "[shape] too many axes; got {}; expected at most {}",
         dims.size(), kMaxDims);
  std::int64_t product = 1;
  for (std::int64_t size : dims) {
    if (size < 0 || (size > 0 && __builtin_mul_overflow(product, size, &product)))
      fail(ErrorKind::InvalidArgument,
           "[shape] a size is negative or the product overflows; got {}", size);
    dims_[static_cast<size_t>(ndim_++)] = size;
  }
}

std::int64_t Shape::operator[](int i) const {
  const int index = i < 0 ? i + ndim_ : i;
  ensure(index >= 0 && index < ndim_, "[shape] axis {} of a shape with {} axes", i, ndim_);
  return dims_[static_cast<size_t>(index)];
}

std::int64_t Shape::numel() const {
  std::int64_t product = 1;
  for (int i = 0; i < ndim_; ++i) product *= dims_[static_cast<size_t>(i)];
  return product;
}

std::int64_t Shape::rows() const {
  std::int64_t product = 1;
  for (int i = 0; i + 1 < ndim_; ++i) product *= dims_[static_cast<size_t>(i)];
  return product;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::int64_t size : shape.dims()) {
    if (text.size() > 1) text += ',';
    text += std::to_string(size);
  }
  return text + "]";
}

}  // namespace outsize
