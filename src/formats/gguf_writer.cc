#include "formats/gguf_writer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/dtype.h"
#include "core/error.h"
#include "formats/convert.h"

namespace outsize {
namespace {

constexpr std::uint64_t kAlignment = 32;
constexpr std::int64_t kPieceBytes = 64 * 1024;

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::uint64_t bytes_of(const GgufTensorSpec& tensor) {
  const GgmlTypeInfo& type = info_of(tensor.type);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.shape.numel() / type.block_elements, type.block_bytes, &bytes))
    fail(ErrorKind::InvalidArgument, "[gguf] tensor '{}' is too large; got shape {}", tensor.name,
         to_string(tensor.shape));
  return static_cast<std::uint64_t>(bytes);
}

void check(const std::string& path, const GgufMetadata& metadata,
           const std::vector<GgufTensorSpec>& tensors) {
  std::set<std::string_view> keys;
  for (const auto& [key, value] : metadata) {
    if (key.empty() || key.size() > 65535 || !keys.insert(key).second)
      fail(ErrorKind::InvalidArgument, "[gguf] {}: key '{}' is given twice, empty or too long",
           path, key);
    ensure(value.is_list() || value.size() == 1, "[gguf] key '{}' has no value", key);
  }
  std::set<std::string_view> names;
  for (const GgufTensorSpec& tensor : tensors) {
    // Readers keep names in 64 bytes with the closing zero.
    if (tensor.name.empty() || tensor.name.size() > 63 || !names.insert(tensor.name).second)
      fail(ErrorKind::InvalidArgument,
           "[gguf] {}: tensor '{}' is declared twice, empty or longer than 63 bytes", path,
           tensor.name);
    if (tensor.type != GgmlType::f32 && tensor.type != GgmlType::f16 &&
        tensor.type != GgmlType::bf16 && tensor.type != GgmlType::q8_0)
      fail(ErrorKind::InvalidArgument,
           "[gguf] {}: cannot write tensor '{}' as {}; expected F32, F16, BF16 or Q8_0", path,
           tensor.name, info_of(tensor.type).name);
    const std::int64_t row = tensor.shape.ndim() == 0 ? 1 : tensor.shape[-1];
    if (tensor.shape.ndim() > 4 || row % info_of(tensor.type).block_elements != 0)
      fail(ErrorKind::InvalidArgument,
           "[gguf] {}: cannot write tensor '{}' of shape {} as {}; expected at most 4 axes, the "
           "last a "
           "multiple of {}",
           path, tensor.name, to_string(tensor.shape), info_of(tensor.type).name,
           info_of(tensor.type).block_elements);
  }
}

template <class T>
void put(AtomicFile& file, T value) {
  file.write(&value, sizeof value);
}

void put_text(AtomicFile& file, const std::string& text) {
  put<std::uint64_t>(file, text.size());
  file.write(text.data(), text.size());
}

}  // namespace

GgufWriter::GgufWriter(const std::string& path, const GgufMetadata& metadata,
                       std::vector<GgufTensorSpec> tensors)
    : file_(path), tensors_(std::move(tensors)) {
  check(path, metadata, tensors_);
  write_header(metadata);
  end_tensors();
}

void GgufWriter::write_header(const GgufMetadata& metadata) {
  file_.write("GGUF", 4);
  put<std::uint32_t>(file_, 3);
  put<std::uint64_t>(file_, tensors_.size());
  put<std::uint64_t>(file_, metadata.size());
  for (const auto& [key, value] : metadata) {
    put_text(file_, key);
    put(file_, static_cast<std::uint32_t>(value.is_list() ? GgufKind::list : value.element()));
    const std::string encoded = value.encoded();
    file_.write(encoded.data(), encoded.size());
  }
  std::uint64_t offset = 0;
  for (const GgufTensorSpec& tensor : tensors_) {
    put_text(file_, tensor.name);
    // A scalar is stored as one axis of one element: readers expect at least one.
    const int ndim = std::max(1, tensor.shape.ndim());
    put<std::uint32_t>(file_, static_cast<std::uint32_t>(ndim));
    for (int i = 1; i <= ndim; ++i)
      put<std::uint64_t>(
          file_, tensor.shape.ndim() == 0 ? 1 : static_cast<std::uint64_t>(tensor.shape[-i]));
    put(file_, static_cast<std::uint32_t>(tensor.type));
    put<std::uint64_t>(file_, offset);
    std::uint64_t bytes = 0;
    if (__builtin_add_overflow(offset, bytes_of(tensor), &bytes) || bytes > INT64_MAX)
      fail(ErrorKind::InvalidArgument, "[gguf] {}: the tensors are too large together",
           file_.path());
    offset = aligned(bytes);
  }
  pad();
  file_bytes_ = file_.size() + offset;
}

void GgufWriter::append_f32(const float* values, std::int64_t count) {
  while (count > 0) {
    if (current_ == tensors_.size())
      fail(ErrorKind::InvalidArgument, "[gguf] {}: {} more elements than declared", file_.path(),
           count);
    const GgufTensorSpec& tensor = tensors_[current_];
    const std::int64_t block = info_of(tensor.type).block_elements;
    std::int64_t now = std::min(count, tensor.shape.numel() - written_);
    if (pending_.empty() && now >= block) {
      now = now / block * block;
      write_blocks(values, now / block);
    } else {
      now = std::min(now, block - static_cast<std::int64_t>(pending_.size()));
      pending_.insert(pending_.end(), values, values + now);
      if (static_cast<std::int64_t>(pending_.size()) == block) {
        write_blocks(pending_.data(), 1);
        pending_.clear();
      }
    }
    values += now;
    count -= now;
    written_ += now;
    end_tensors();
  }
}

void GgufWriter::write_blocks(const float* values, std::int64_t blocks) {
  const GgufTensorSpec& tensor = tensors_[current_];
  const GgmlTypeInfo& type = info_of(tensor.type);
  const std::int64_t piece = kPieceBytes / type.block_bytes;
  buffer_.resize(static_cast<std::size_t>(kPieceBytes));
  for (std::int64_t done = 0; done < blocks; done += piece) {
    const std::int64_t now = std::min(piece, blocks - done);
    const float* source = values + done * type.block_elements;
    switch (tensor.type) {
      case GgmlType::f16:
        convert_from_f32(DType::f16, source, now, buffer_.data());
        break;
      case GgmlType::bf16:
        convert_from_f32(DType::bf16, source, now, buffer_.data());
        break;
      case GgmlType::q8_0:
        if (!quantise_q8_0(source, now, buffer_.data()))
          fail(ErrorKind::InvalidArgument,
               "[gguf] {}: tensor '{}' holds NaN, infinity or a value beyond 8.3e6, which Q8_0 "
               "cannot; "
               "try BF16",
               file_.path(), tensor.name);
        break;
      default:
        convert_from_f32(DType::f32, source, now, buffer_.data());
        break;
    }
    file_.write(buffer_.data(), static_cast<std::size_t>(now * type.block_bytes));
  }
}

// Moves on from tensors that have all their elements, empty ones included.
void GgufWriter::end_tensors() {
  while (current_ < tensors_.size() && written_ == tensors_[current_].shape.numel()) {
    pad();
    ++current_;
    written_ = 0;
  }
}

void GgufWriter::pad() {
  constexpr char kZeros[kAlignment] = {};
  file_.write(kZeros, static_cast<std::size_t>(aligned(file_.size()) - file_.size()));
}

void GgufWriter::finish() {
  if (current_ < tensors_.size())
    fail(ErrorKind::InvalidArgument, "[gguf] {}: tensor '{}' is incomplete; got {} of {} elements",
         file_.path(), tensors_[current_].name, written_, tensors_[current_].shape.numel());
  ensure(file_.size() == file_bytes_, "[gguf] {} bytes written; expected {}", file_.size(),
         file_bytes_);
  file_.commit();
}

}  // namespace outsize
