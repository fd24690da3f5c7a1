#include "formats/gguf.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "formats/gguf_header.h"

namespace outsize {
namespace {

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 30;
constexpr std::int64_t kPieceBytes = 64 * 1024;

// Names come from the file: messages show the start only.
std::string_view shown(std::string_view name) {
  return name.substr(0, 200);
}

GgufTensor read_tensor(GgufHeaderReader& header, const std::string& file) {
  GgufTensor tensor;
  tensor.name = header.read_text(kMaxKeyBytes, "tensor name");
  const auto refuse = [&](ErrorKind kind, const std::string& what) {
    fail(kind, "[gguf] {}: tensor '{}' {}", file, shown(tensor.name), what);
  };
  const std::uint32_t ndim = header.read_u32();
  if (ndim > 4) refuse(ErrorKind::Corruption, fmt::format("has {} axes; expected at most 4", ndim));
  std::int64_t dims[4];
  std::int64_t product = 1;
  for (std::uint32_t i = 0; i < ndim; ++i) {
    const std::uint64_t size = header.read_u64();
    dims[ndim - 1 - i] = static_cast<std::int64_t>(size);
    if (size > INT64_MAX ||
        (size > 0 && __builtin_mul_overflow(product, static_cast<std::int64_t>(size), &product)))
      refuse(ErrorKind::Corruption, "has sizes whose product overflows");
  }
  tensor.shape = Shape(std::span<const std::int64_t>(dims, ndim));
  tensor.type = header.read_u32();
  tensor.offset = header.read_u64();
  const GgmlTypeInfo* type = find_ggml_type(tensor.type);
  if (type == nullptr)
    refuse(ErrorKind::Unsupported, fmt::format("has unknown type {}", tensor.type));
  const std::int64_t row = ndim == 0 ? 1 : dims[ndim - 1];
  if (row % type->block_elements != 0)
    refuse(ErrorKind::Corruption,
           fmt::format("has rows of {} elements; expected a multiple of {} for {}", row,
                       type->block_elements, type->name));
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.shape.numel() / type->block_elements, type->block_bytes,
                             &bytes))
    refuse(ErrorKind::Corruption, "has sizes whose product overflows");
  tensor.bytes = static_cast<std::uint64_t>(bytes);
  return tensor;
}

std::uint32_t read_version(GgufHeaderReader& header, const std::string& file) {
  if (header.left() < 4 || header.read_u32() != kMagic)
    fail(ErrorKind::Corruption, "[gguf] {}: not a GGUF file; expected it to begin with 'GGUF'",
         file);
  const std::uint32_t version = header.read_u32();
  if ((version & 0xffffu) == 0)
    fail(ErrorKind::Unsupported, "[gguf] {}: a big-endian file; expected little-endian", file);
  if (version != 2 && version != 3)
    fail(ErrorKind::Unsupported, "[gguf] {}: version {}; expected 2 or 3", file, version);
  return version;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(File::open(path)) {
  GgufHeaderReader header(file_);
  version_ = read_version(header, path);
  // A description takes at least a name length, an axis count, a type and an offset: 24 bytes. A
  // pair takes at least a key length, a kind and one byte: 13.
  const std::uint64_t tensor_count = header.read_count(24, "tensors");
  const std::uint64_t pair_count = header.read_count(13, "key-value pairs");
  // Nothing is reserved for counts alone: memory grows with what the file really holds.
  for (std::uint64_t i = 0; i < pair_count; ++i) {
    std::string key = header.read_text(kMaxKeyBytes, "key");
    GgufValue value = header.read_value(std::string(shown(key)));
    metadata_.emplace_back(std::move(key), std::move(value));
  }
  for (std::uint64_t i = 0; i < tensor_count; ++i) tensors_.push_back(read_tensor(header, path));
  index_names();
  const auto alignment = static_cast<std::uint64_t>(
      integer_or("general.alignment", kDefaultAlignment, 1, kMaxAlignment));
  if ((alignment & (alignment - 1)) != 0)
    fail_key("general.alignment", fmt::format("is {}; expected a power of two", alignment));
  check_tensors((header.position() + alignment - 1) / alignment * alignment, alignment);
}

void GgufFile::index_names() {
  for (std::size_t i = 0; i < metadata_.size(); ++i) {
    if (!keys_.emplace(metadata_[i].first, i).second)
      fail(ErrorKind::Corruption, "[gguf] {}: key '{}' appears twice", path(),
           shown(metadata_[i].first));
  }
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (!tensor_index_.emplace(tensors_[i].name, i).second)
      fail(ErrorKind::Corruption, "[gguf] {}: tensor '{}' appears twice", path(),
           shown(tensors_[i].name));
  }
}

void GgufFile::check_tensors(std::uint64_t data_start, std::uint64_t alignment) {
  const std::uint64_t data_bytes = file_.size() > data_start ? file_.size() - data_start : 0;
  std::vector<GgufTensor*> order;
  order.reserve(tensors_.size());
  for (GgufTensor& tensor : tensors_) {
    if (tensor.offset % alignment != 0)
      fail(ErrorKind::Corruption, "[gguf] {}: tensor '{}' at {} is not aligned to {}", path(),
           shown(tensor.name), tensor.offset, alignment);
    if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset)
      fail(ErrorKind::Corruption,
           "[gguf] {}: tensor '{}' ends outside the file; got {} bytes at {} of {}; was the "
           "download "
           "cut?",
           path(), shown(tensor.name), tensor.bytes, tensor.offset, data_bytes);
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
      fail(ErrorKind::Corruption, "[gguf] {}: tensors '{}' and '{}' overlap", path(),
           shown(order[i - 1]->name), shown(order[i]->name));
  }
  for (GgufTensor& tensor : tensors_) tensor.offset += data_start;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto place = keys_.find(key);
  return place == keys_.end() ? nullptr : &metadata_[place->second].second;
}

const GgufValue& GgufFile::required(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) fail_key(key, "is missing");
  return *value;
}

const GgufValue& GgufFile::scalar(std::string_view key) const {
  const GgufValue& value = required(key);
  if (value.is_list()) fail_key(key, "is a list; expected one value");
  return value;
}

void GgufFile::fail_key(std::string_view key, std::string_view what) const {
  fail(ErrorKind::InvalidArgument, "[gguf] {}: key '{}' {}", path(), shown(key), what);
}

std::int64_t GgufFile::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  const GgufValue& value = scalar(key);
  const auto number = value.integer();
  if (!number)
    fail_key(key, fmt::format("is {}; expected a whole number", name_of(value.element())));
  if (*number < min || *number > max)
    fail_key(key, fmt::format("is out of range; got {}; expected {} to {}", *number, min, max));
  return *number;
}

std::int64_t GgufFile::integer_or(std::string_view key, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double GgufFile::number(std::string_view key) const {
  const GgufValue& value = scalar(key);
  const auto number = value.number();
  if (!number) fail_key(key, fmt::format("is {}; expected a number", name_of(value.element())));
  return *number;
}

double GgufFile::number_or(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool GgufFile::boolean(std::string_view key) const {
  const GgufValue& value = scalar(key);
  const auto flag = value.boolean();
  if (!flag) fail_key(key, fmt::format("is {}; expected a bool", name_of(value.element())));
  return *flag;
}

bool GgufFile::boolean_or(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

std::string GgufFile::text(std::string_view key) const {
  const GgufValue& value = scalar(key);
  const auto text = value.text();
  if (!text) fail_key(key, fmt::format("is {}; expected a string", name_of(value.element())));
  return std::string(*text);
}

std::string GgufFile::text_or(std::string_view key, std::string fallback) const {
  return has(key) ? text(key) : std::move(fallback);
}

std::vector<std::int64_t> GgufFile::integers(std::string_view key) const {
  const GgufValue& value = required(key);
  std::vector<std::int64_t> numbers;
  numbers.reserve(value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto number = value.integer(i);
    if (!number)
      fail_key(key, fmt::format("holds {}; expected whole numbers", name_of(value.element())));
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<float> GgufFile::numbers(std::string_view key) const {
  const GgufValue& value = required(key);
  std::vector<float> numbers;
  numbers.reserve(value.size());
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto number = value.number(i);
    if (!number) fail_key(key, fmt::format("holds {}; expected numbers", name_of(value.element())));
    numbers.push_back(static_cast<float>(*number));
  }
  return numbers;
}

const GgufValue& GgufFile::texts(std::string_view key) const {
  const GgufValue& value = required(key);
  if (!value.is_list() || value.element() != GgufKind::text)
    fail_key(key, fmt::format("is {}{}; expected a list of strings",
                              value.is_list() ? "a list of " : "", name_of(value.element())));
  return value;
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto place = tensor_index_.find(name);
  return place == tensor_index_.end() ? nullptr : &tensors_[place->second];
}

void GgufFile::read_f32(std::string_view name, std::int64_t first_element, std::int64_t count,
                        float* destination) const {
  const GgufTensor* tensor = find_tensor(name);
  if (tensor == nullptr)
    fail(ErrorKind::InvalidArgument, "[gguf] {}: no tensor '{}'", path(), shown(name));
  const std::int64_t numel = tensor->shape.numel();
  if (first_element < 0 || count < 0 || first_element > numel || count > numel - first_element)
    fail(ErrorKind::InvalidArgument,
         "[gguf] {}: tensor '{}' has no such range; got {} elements from {}; expected within {}",
         path(), shown(name), count, first_element, numel);
  const GgmlTypeInfo& type = *find_ggml_type(tensor->type);
  if (!can_dequantise(type.id))
    fail(ErrorKind::Unsupported, "[gguf] {}: tensor '{}' is {}, which has no decoder", path(),
         shown(name), type.name);
  const std::int64_t piece = kPieceBytes / type.block_bytes;
  char buffer[kPieceBytes];
  float edge[256];  // a block of which only a part is asked for
  while (count > 0) {
    const std::int64_t block = first_element / type.block_elements;
    const std::int64_t skip = first_element % type.block_elements;
    const bool partial = skip > 0 || count < type.block_elements;
    const std::int64_t blocks = partial ? 1 : std::min(piece, count / type.block_elements);
    file_.read_at(tensor->offset + static_cast<std::uint64_t>(block * type.block_bytes), buffer,
                  static_cast<std::size_t>(blocks * type.block_bytes));
    dequantise(type.id, buffer, blocks, partial ? edge : destination);
    const std::int64_t done =
        partial ? std::min(count, type.block_elements - skip) : blocks * type.block_elements;
    if (partial) std::copy_n(edge + skip, done, destination);
    destination += done;
    first_element += done;
    count -= done;
  }
}

}  // namespace outsize
