#include "formats/safetensors_writer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"

namespace outsize {
namespace {

using nlohmann::ordered_json;

const char* stored_name(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return "F64";
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::i16:
      return "I16";
    case DType::u8:
      return "U8";
  }
  fail(ErrorKind::Internal, "[safetensors] dtype {} has no name", static_cast<int>(dtype));
}

std::uint64_t bytes_of(const TensorSpec& tensor) {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.shape.numel(), size_of(tensor.dtype), &bytes))
    fail(ErrorKind::InvalidArgument, "[safetensors] tensor '{}' is too large; got shape {}",
         tensor.name, to_string(tensor.shape));
  return static_cast<std::uint64_t>(bytes);
}

// The header, padded with spaces so that the data start at a multiple of 8.
std::string header_text(const std::string& path, const std::vector<TensorSpec>& tensors,
                        std::map<std::string, std::string> metadata) {
  metadata.emplace("format", "pt");
  ordered_json header = ordered_json::object();
  header["__metadata__"] = metadata;
  std::set<std::string_view> names = {"__metadata__"};
  std::uint64_t end = 0;
  for (const TensorSpec& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      fail(ErrorKind::InvalidArgument, "[safetensors] {}: tensor '{}' is declared twice", path,
           tensor.name);
    const auto width = static_cast<std::uint64_t>(size_of(tensor.dtype));
    if (end % width != 0)
      fail(ErrorKind::InvalidArgument,
           "[safetensors] {}: tensor '{}' would lie unaligned at byte {}; try widest_first()", path,
           tensor.name, end);
    const std::uint64_t begin = end;
    if (__builtin_add_overflow(end, bytes_of(tensor), &end))
      fail(ErrorKind::InvalidArgument, "[safetensors] {}: the tensors are too large together",
           path);
    // Not header[name]: ordered_json looks names up one by one, this is linear in their number.
    header.get_ref<ordered_json::object_t&>().emplace_back(
        tensor.name, ordered_json{{"dtype", stored_name(tensor.dtype)},
                                  {"shape", tensor.shape.dims()},
                                  {"data_offsets", {begin, end}}});
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const ordered_json::exception&) {
    fail(ErrorKind::InvalidArgument, "[safetensors] {}: a name or metadata is not valid UTF-8",
         path);
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

std::vector<TensorSpec> widest_first(std::vector<TensorSpec> tensors) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return size_of(a.dtype) > size_of(b.dtype);
  });
  return tensors;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::vector<TensorSpec> tensors,
                                     std::map<std::string, std::string> metadata)
    : file_(path), tensors_(std::move(tensors)) {
  const std::string header = header_text(path, tensors_, std::move(metadata));
  const std::uint64_t header_bytes = header.size();
  file_.write(&header_bytes, sizeof header_bytes);
  file_.write(header.data(), header.size());
  file_bytes_ = file_.size();
  for (const TensorSpec& tensor : tensors_) ends_.push_back(file_bytes_ += bytes_of(tensor));
}

void SafetensorsWriter::append(const void* data, std::size_t bytes) {
  if (bytes > file_bytes_ - file_.size())
    fail(ErrorKind::InvalidArgument,
         "[safetensors] {}: more bytes than declared; got {} more; expected at most {}",
         file_.path(), bytes, file_bytes_ - file_.size());
  file_.write(data, bytes);
}

void SafetensorsWriter::finish() {
  if (file_.size() != file_bytes_) {
    const auto next = std::upper_bound(ends_.begin(), ends_.end(), file_.size()) - ends_.begin();
    fail(ErrorKind::InvalidArgument,
         "[safetensors] {}: tensor '{}' is incomplete; {} bytes missing", file_.path(),
         tensors_[static_cast<std::size_t>(next)].name, file_bytes_ - file_.size());
  }
  file_.commit();
}

}  // namespace outsize
