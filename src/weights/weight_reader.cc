#include "weights/weight_reader.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace outsize {
namespace {

// Shape of the whole tensor that holds the parameter.
Shape stored_shape(const WeightSource& source, const Shape& shape, bool transposed) {
  const std::int64_t rows = source.total_rows > 0 ? source.total_rows : row_count(shape);
  if (shape.ndim() < 2) return {rows};
  return transposed ? Shape{column_count(shape), rows} : Shape{rows, column_count(shape)};
}

void require_shape(const std::string& file, const std::string& tensor, const Shape& got,
                   const Shape& expected) {
  if (got != expected)
    fail(ErrorKind::InvalidArgument,
         "[weights] {}: tensor '{}' has another shape; got {}; expected {} from the configuration",
         file, tensor, to_string(got), to_string(expected));
}

// Elements that one thread reads at a time, at least: enough for a system call to be nothing beside
// them.
constexpr std::int64_t kElementsPerTask = 1 << 18;

// body(begin, end) for pieces of [0, n) on all threads; what a piece throws is thrown once all have
// ended.
template <class Body>
void on_all_threads(std::int64_t n, std::int64_t grain, Body&& body) {
  std::mutex mutex;
  std::exception_ptr failure;
  parallel_for(n, std::max<std::int64_t>(grain, 1), [&](std::int64_t begin, std::int64_t end) {
    try {
      body(begin, end);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

class HfReader : public WeightReader {
 public:
  explicit HfReader(const std::string& path) : folder_(path) {}

  void check(const WeightSource& source, const Shape& shape) const override { find(source, shape); }

  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    const TensorInfo& tensor = find(source, shape);
    const std::int64_t columns = column_count(shape), first = source.first_row + first_row;
    if (!source.hf_transposed) {
      on_all_threads(rows * columns, kElementsPerTask, [&](std::int64_t begin, std::int64_t end) {
        folder_.read_f32(tensor.name, first * columns + begin, end - begin, destination + begin);
      });
      return;
    }
    const std::int64_t total = tensor.shape[1];
    on_all_threads(columns, kElementsPerTask / std::max<std::int64_t>(rows, 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     std::vector<float> piece(static_cast<size_t>(rows));
                     for (std::int64_t c = begin; c < end; ++c) {
                       folder_.read_f32(tensor.name, c * total + first, rows, piece.data());
                       for (std::int64_t r = 0; r < rows; ++r)
                         destination[r * columns + c] = piece[static_cast<size_t>(r)];
                     }
                   });
  }

  bool read_bf16(const WeightSource& source, const Shape& shape, bf16* destination) const override {
    const TensorInfo& tensor = find(source, shape);
    if (tensor.dtype != DType::bf16 || source.hf_transposed) return false;
    const std::int64_t first = source.first_row * column_count(shape), count = shape.numel();
    // One run per thread: two that take turns would both clear each huge page they meet in.
    const std::int64_t each = (count + thread_count() - 1) / thread_count();
    on_all_threads(count, std::max(each, kElementsPerTask),
                   [&](std::int64_t begin, std::int64_t end) {
                     folder_.read(tensor.name, first + begin, end - begin, destination + begin);
                   });
    return true;
  }

 private:
  // Folders differ in the prefix: with or without "transformer.", under "language_model.".
  const TensorInfo& find(const WeightSource& source, const Shape& shape) const {
    std::string name = source.hf_name;
    const std::string wrapped = "language_model." + name, bare = strip(name, "transformer."),
                      plain = strip(name, "model.");
    for (const std::string& candidate : {name, wrapped, bare, plain})
      if (const TensorInfo* tensor = folder_.find(candidate)) {
        require_shape(folder_.path(), candidate, tensor->shape,
                      stored_shape(source, shape, source.hf_transposed));
        return *tensor;
      }
    fail(ErrorKind::InvalidArgument,
         "[weights] {}: tensor '{}' is missing; try a complete download", folder_.path(), name);
  }

  static std::string strip(const std::string& name, const std::string& prefix) {
    return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  }

  TensorFolder folder_;
};

class GgufReader : public WeightReader {
 public:
  explicit GgufReader(const std::string& path) : file_(path) {}

  void check(const WeightSource& source, const Shape& shape) const override {
    const GgufTensor* tensor = file_.find_tensor(source.gguf_name);
    if (!tensor)
      fail(ErrorKind::InvalidArgument,
           "[weights] {}: tensor '{}' is missing; try a complete download", file_.path(),
           source.gguf_name);
    require_shape(file_.path(), source.gguf_name, tensor->shape,
                  stored_shape(source, shape, false));
  }

  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    check(source, shape);
    const std::int64_t columns = column_count(shape), first = source.first_row + first_row;
    on_all_threads(rows, kElementsPerTask / std::max<std::int64_t>(columns, 1),
                   [&](std::int64_t begin, std::int64_t end) {
                     read_rows(source, shape, first + begin, end - begin,
                               destination + begin * columns);
                   });
  }

 private:
  // `first`: of the tensor, not of the parameter.
  void read_rows(const WeightSource& source, const Shape& shape, std::int64_t first,
                 std::int64_t rows, float* destination) const {
    const std::int64_t columns = column_count(shape);
    if (source.gguf_interleaved_heads == 0) {
      file_.read_f32(source.gguf_name, first * columns, rows * columns, destination);
    } else {
      const std::int64_t head = row_count(shape) / source.gguf_interleaved_heads;
      for (std::int64_t r = 0; r < rows; ++r)
        file_.read_f32(source.gguf_name, interleaved_row(first + r, head) * columns, columns,
                       destination + r * columns);
    }
    if (source.gguf_offset != 0)
      for (std::int64_t i = 0; i < rows * columns; ++i)
        destination[i] -= static_cast<float>(source.gguf_offset);
  }

  GgufFile file_;
};

}  // namespace

std::int64_t interleaved_row(std::int64_t row, std::int64_t head_rows) {
  const std::int64_t in_head = row % head_rows, half = head_rows / 2;
  return row - in_head + (in_head % half) * 2 + in_head / half;
}

std::unique_ptr<WeightReader> open_hf_weights(const std::string& folder) {
  return std::make_unique<HfReader>(folder);
}

std::unique_ptr<WeightReader> open_gguf_weights(const std::string& file) {
  return std::make_unique<GgufReader>(file);
}

}  // namespace outsize
