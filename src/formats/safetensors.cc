#include "formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.h"
#include "formats/convert.h"
#include "formats/json.h"

namespace outsize {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "file bytes are read as they lie");

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::uint64_t kMaxIndexBytes = 256'000'000;
constexpr std::int64_t kPieceBytes = 64 * 1024;

struct StoredType {
  const char* name;
  DType dtype;
  bool exact;  // dtype means the same; otherwise only the width agrees
};

constexpr StoredType kStoredTypes[] = {
    {"F64", DType::f64, true},     {"F32", DType::f32, true},     {"F16", DType::f16, true},
    {"BF16", DType::bf16, true},   {"I64", DType::i64, true},     {"I32", DType::i32, true},
    {"I16", DType::i16, true},     {"U8", DType::u8, true},       {"I8", DType::u8, false},
    {"BOOL", DType::u8, false},    {"U16", DType::i16, false},    {"U32", DType::i32, false},
    {"U64", DType::i64, false},    {"F8_E4M3", DType::u8, false}, {"F8_E5M2", DType::u8, false},
    {"F8_E8M0", DType::u8, false},
};

const StoredType* find_stored_type(std::string_view name) {
  for (const StoredType& type : kStoredTypes)
    if (name == type.name) return &type;
  return nullptr;
}

// A JSON array of non-negative integers; nullopt when it is anything else.
std::optional<std::vector<std::int64_t>> counts_in(const json& entry, const char* key) {
  const auto place = entry.find(key);
  if (place == entry.end() || !place->is_array()) return std::nullopt;
  std::vector<std::int64_t> counts;
  for (const json& item : *place) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > INT64_MAX) return std::nullopt;
    counts.push_back(item.get<std::int64_t>());
  }
  return counts;
}

// One header entry, offsets still relative to the start of the data.
TensorInfo parse_entry(const std::string& file, const std::string& name, const json& entry) {
  const auto refuse = [&](ErrorKind kind, const std::string& what) {
    fail(kind, "[safetensors] {}: tensor '{}' {}", file, name.substr(0, 200), what);
  };
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
      !entry["dtype"].is_string())
    refuse(ErrorKind::Corruption, "is not described by dtype, shape and data_offsets");
  TensorInfo tensor;
  tensor.name = name;
  tensor.stored_type = entry["dtype"].get<std::string>();
  const StoredType* type = find_stored_type(tensor.stored_type);
  if (type == nullptr)
    refuse(ErrorKind::Unsupported,
           "has an unknown dtype; got '" + tensor.stored_type.substr(0, 40) + "'");
  tensor.dtype = type->dtype;

  const auto dims = counts_in(entry, "shape");
  const auto offsets = counts_in(entry, "data_offsets");
  if (!dims) refuse(ErrorKind::Corruption, "has no valid shape; expected a list of sizes");
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1])
    refuse(ErrorKind::Corruption, "has no valid data_offsets; expected [begin, end]");
  if (dims->size() > Shape::kMaxDims)
    refuse(ErrorKind::Unsupported, fmt::format("has {} axes; expected at most 5", dims->size()));
  std::int64_t product = 1;
  for (std::int64_t size : *dims)
    if (size > 0 && __builtin_mul_overflow(product, size, &product))
      refuse(ErrorKind::Corruption, "has a shape whose product overflows");
  tensor.shape = Shape(*dims);
  tensor.offset = static_cast<std::uint64_t>((*offsets)[0]);
  tensor.bytes = static_cast<std::uint64_t>((*offsets)[1] - (*offsets)[0]);
  std::int64_t expected = 0;
  if (__builtin_mul_overflow(tensor.shape.numel(), size_of(tensor.dtype), &expected) ||
      static_cast<std::uint64_t>(expected) != tensor.bytes)
    refuse(ErrorKind::Corruption,
           fmt::format("has {} bytes; expected {} × {} bytes for shape {}", tensor.bytes,
                       tensor.shape.numel(), size_of(tensor.dtype), to_string(tensor.shape)));
  return tensor;
}

void check_range(const TensorInfo& tensor, std::int64_t first, std::int64_t count) {
  const std::int64_t numel = tensor.shape.numel();
  if (first < 0 || count < 0 || first > numel || count > numel - first)
    fail(ErrorKind::InvalidArgument,
         "[safetensors] tensor '{}': no such range; got {} elements from {}; expected within {}",
         tensor.name, count, first, numel);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(File::open(path)) {
  std::uint64_t header_bytes = 0;
  if (file_.size() < sizeof header_bytes)
    fail(ErrorKind::Corruption, "[safetensors] {}: too short to be one; got {} bytes", path,
         file_.size());
  file_.read_at(0, &header_bytes, sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_.size() - sizeof header_bytes)
    fail(ErrorKind::Corruption,
         "[safetensors] {}: header of {} bytes does not fit; got a file of {} bytes; expected at "
         "most "
         "{}",
         path, header_bytes, file_.size(), kMaxHeaderBytes);
  std::string text(header_bytes, '\0');
  file_.read_at(sizeof header_bytes, text.data(), text.size());
  if (text.empty() || text[0] != '{')
    fail(ErrorKind::Corruption, "[safetensors] {}: not a safetensors file; expected '{{' at byte 8",
         path);
  JsonLimits limits;
  limits.max_depth = 4;
  limits.allow_duplicate_keys = false;
  const json header = parse_json(text, path, limits);
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors_.push_back(parse_entry(path, name, entry));
      continue;
    }
    if (!entry.is_object())
      fail(ErrorKind::Corruption, "[safetensors] {}: __metadata__ is not an object", path);
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string())
        fail(ErrorKind::Corruption, "[safetensors] {}: __metadata__ '{}' is not a string", path,
             key.substr(0, 200));
      metadata_[key] = value.get<std::string>();
    }
  }
  check_layout(sizeof header_bytes + header_bytes);
}

void SafetensorsFile::check_layout(std::uint64_t data_start) {
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  const std::uint64_t data_bytes = file_.size() - data_start;
  std::uint64_t end = 0;
  for (TensorInfo& tensor : tensors_) {
    if (tensor.offset != end)
      fail(ErrorKind::Corruption,
           "[safetensors] {}: {} before tensor '{}'; got offset {}; expected {}", path(),
           tensor.offset < end ? "overlap" : "hole", tensor.name.substr(0, 200), tensor.offset,
           end);
    end += tensor.bytes;  // cannot overflow: both came from one int64 end offset
    if (end > data_bytes)
      fail(ErrorKind::Corruption,
           "[safetensors] {}: tensor '{}' ends outside the file; got byte {} of {}; was the "
           "download "
           "cut?",
           path(), tensor.name.substr(0, 200), end, data_bytes);
    tensor.offset += data_start;
  }
  if (end != data_bytes)
    fail(ErrorKind::Corruption,
         "[safetensors] {}: {} bytes after the last tensor; expected the file to end there", path(),
         data_bytes - end);
}

void SafetensorsFile::read(const TensorInfo& tensor, std::int64_t first, std::int64_t count,
                           void* destination) const {
  check_range(tensor, first, count);
  const std::int64_t width = size_of(tensor.dtype);
  file_.read_at(tensor.offset + static_cast<std::uint64_t>(first * width), destination,
                static_cast<std::size_t>(count * width));
}

TensorFolder::TensorFolder(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    add_file(path);
  } else if (const fs::path single = fs::path(path) / "model.safetensors";
             fs::exists(single, ignored)) {
    add_file(single);
  } else if (const fs::path index = fs::path(path) / "model.safetensors.index.json";
             fs::exists(index, ignored)) {
    add_shards(index);
  } else {
    fail(ErrorKind::Io,
         "[safetensors] '{}' has no weights; expected model.safetensors or "
         "model.safetensors.index.json; try saving the model with safetensors",
         path);
  }
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const bool is_new = index_.emplace(tensors_[i].name, i).second;
    if (!is_new)
      fail(ErrorKind::Corruption, "[safetensors] '{}': tensor '{}' is in two files", path,
           tensors_[i].name.substr(0, 200));
  }
}

void TensorFolder::add_file(const std::string& path) {
  files_.emplace_back(path);
  for (const TensorInfo& tensor : files_.back().tensors()) {
    tensors_.push_back(tensor);
    tensors_.back().file = files_.size() - 1;
  }
}

void TensorFolder::add_shards(const std::string& index_path) {
  JsonLimits limits;
  limits.max_bytes = kMaxIndexBytes;
  const json index = read_json(index_path, limits);
  const JsonFields fields(index, index_path);
  const JsonFields map = fields.object("weight_map");
  std::set<std::string> shards;
  for (const auto& [name, file] : fields.find("weight_map")->items()) {
    const std::string shard = map.text(name);
    // A shard lies beside its index; anything else would let a model folder name any file.
    if (shard.empty() || shard.find('/') != std::string::npos ||
        shard.find('\0') != std::string::npos)
      map.fail_field(name, "does not name a file beside the index");
    shards.insert(shard);
  }
  std::map<std::string, std::string> held;
  for (const std::string& shard : shards) {
    add_file(std::filesystem::path(index_path).parent_path() / shard);
    for (const TensorInfo& tensor : files_.back().tensors()) held[tensor.name] = shard;
  }
  for (const auto& [name, file] : fields.find("weight_map")->items()) {
    const auto place = held.find(name);
    if (place == held.end() || place->second != file.get<std::string>())
      fail(ErrorKind::Corruption, "[safetensors] {}: tensor '{}' is not in the shard it names",
           index_path, name.substr(0, 200));
  }
}

const TensorInfo* TensorFolder::find(std::string_view name) const {
  const auto place = index_.find(name);
  return place == index_.end() ? nullptr : &tensors_[place->second];
}

const TensorInfo& TensorFolder::at(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr)
    fail(ErrorKind::InvalidArgument, "[safetensors] '{}' holds no tensor '{}'", path_, name);
  return *tensor;
}

std::vector<std::string> TensorFolder::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const TensorInfo& tensor : tensors_) names.push_back(tensor.name);
  return names;
}

std::uint64_t TensorFolder::total_bytes() const {
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : tensors_) total += tensor.bytes;
  return total;
}

void TensorFolder::read(std::string_view name, std::int64_t first_element, std::int64_t count,
                        void* destination) const {
  const TensorInfo& tensor = at(name);
  files_[tensor.file].read(tensor, first_element, count, destination);
}

void TensorFolder::read_f32(std::string_view name, std::int64_t first_element, std::int64_t count,
                            float* destination) const {
  const TensorInfo& tensor = at(name);
  const StoredType* type = find_stored_type(tensor.stored_type);
  if (!type->exact || !is_float(tensor.dtype))
    fail(ErrorKind::Unsupported,
         "[safetensors] '{}': tensor '{}' is {}; expected F64, F32, BF16 or F16", path_, name,
         tensor.stored_type);
  check_range(tensor, first_element, count);
  const SafetensorsFile& file = files_[tensor.file];
  if (tensor.dtype == DType::f32) return file.read(tensor, first_element, count, destination);
  const std::int64_t piece = kPieceBytes / size_of(tensor.dtype);
  char buffer[kPieceBytes];
  for (std::int64_t done = 0; done < count; done += piece) {
    const std::int64_t now = std::min(piece, count - done);
    file.read(tensor, first_element + done, now, buffer);
    convert_to_f32(tensor.dtype, buffer, now, destination + done);
  }
}

}  // namespace outsize
