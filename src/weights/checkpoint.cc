#include "weights/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/room.h"
#include "core/xxh3.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/safetensors_writer.h"
#include "optim/master.h"
#include "optim/update_rule.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

constexpr int kFormatVersion = 1;
constexpr std::int64_t kPieceBytes = 8 << 20;
// A save in progress has this name beside the checkpoints, and what a crash left of one goes with
// the next.
constexpr const char* kUnfinished = "unfinished";

std::string state_path(const std::string& folder) {
  return folder + "/state.safetensors";
}

std::string info_path(const std::string& folder) {
  return folder + "/state.json";
}

std::string hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::string hash_of(const NamedMemory& tensor) {
  return hex(
      XXH3_64bits(tensor.data, static_cast<size_t>(tensor.shape.numel() * size_of(tensor.dtype))));
}

// `f` may be called again.
template <class F>
void filesystem_or_fail(const std::string& folder, const char* what, F f) {
  for (;;) try {
      return f();
    } catch (const fs::filesystem_error& error) {
      if (is_no_space(error.code().value()) && wait_for_room(folder, 0)) continue;
      fail(ErrorKind::Io, "[checkpoint] {}: {}; got '{}'", folder, what, error.code().message());
    }
}

// Streams a stored tensor through `take` (bytes, count) and returns the hash of its bytes.
template <class F>
std::string stream(const SafetensorsFile& file, const TensorInfo& tensor, F take) {
  std::vector<char> piece(static_cast<size_t>(
      std::min<std::int64_t>(kPieceBytes, static_cast<std::int64_t>(tensor.bytes))));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_64bits_reset(state.get());
  const std::int64_t element = size_of(tensor.dtype), count = tensor.shape.numel();
  for (std::int64_t first = 0; first < count;) {
    const std::int64_t elements = std::min(count - first, kPieceBytes / element);
    file.read(tensor, first, elements, piece.data());
    XXH3_64bits_update(state.get(), piece.data(), static_cast<size_t>(elements * element));
    take(piece.data(), first * element, elements * element);
    first += elements;
  }
  return hex(XXH3_64bits_digest(state.get()));
}

// Of a safetensors file's first part: its length and the JSON that says what lies where.
std::string header_hash(const std::string& path) {
  const File file = File::open(path);
  std::uint64_t length = 0;
  file.read_at(0, &length, sizeof length);
  if (length > file.size())
    fail(ErrorKind::Corruption, "[checkpoint] {}: the header is longer than the file; got {}", path,
         length);
  std::string header(static_cast<size_t>(length), '\0');
  file.read_at(sizeof length, header.data(), header.size());
  return hex(XXH3_64bits_withSeed(header.data(), header.size(), length));
}

// state.json's own checksum covers every other field.
std::string info_hash(nlohmann::json info) {
  info.erase("checksum");
  const std::string text = info.dump();
  return hex(XXH3_64bits(text.data(), text.size()));
}

nlohmann::json read_info(const std::string& folder) {
  const std::string path = info_path(folder);
  nlohmann::json info = read_json(path);
  std::string expected, hash;
  try {
    const JsonFields fields(info, path);
    const std::int64_t version = fields.integer("version");
    if (version != kFormatVersion)
      fail(ErrorKind::Unsupported, "[checkpoint] {}: unknown format version; got {}; expected {}",
           path, version, kFormatVersion);
    expected = fields.text("checksum");
    hash = info_hash(info);
  } catch (const Error& error) {  // what we wrote ourselves was valid
    if (error.kind() != ErrorKind::InvalidArgument) throw;
    fail(ErrorKind::Corruption, "[checkpoint] {}", error.what());
  }
  if (hash != expected)
    fail(ErrorKind::Corruption,
         "[checkpoint] {}: a field is damaged; got checksum {}; expected {}; try an older "
         "checkpoint of the run",
         path, hash, expected);
  return info;
}

struct Stored {
  explicit Stored(const std::string& folder)
      : folder(folder), info(read_info(folder)), file(state_path(folder)) {
    if (header_hash(state_path(folder)) != JsonFields(info, info_path(folder)).text("header"))
      fail(ErrorKind::Corruption,
           "[checkpoint] {}: the header is damaged; try an older checkpoint of the run",
           state_path(folder));
    for (const TensorInfo& tensor : file.tensors()) by_name[tensor.name] = &tensor;
  }

  const TensorInfo& at(const std::string& name) const {
    const auto found = by_name.find(name);
    if (found == by_name.end())
      fail(ErrorKind::Corruption, "[checkpoint] {}: tensor '{}' is missing", state_path(folder),
           name);
    return *found->second;
  }

  void require_hash(const std::string& name, const std::string& hash) const {
    const JsonFields fields(info, info_path(folder));
    const std::string expected = fields.object("xxh3").text(name);
    if (hash != expected)
      fail(ErrorKind::Corruption,
           "[checkpoint] {}: tensor '{}' is damaged; got checksum {}; expected {}; try an older "
           "checkpoint of the run",
           state_path(folder), name, hash, expected);
  }

  std::string folder;
  nlohmann::json info;
  SafetensorsFile file;
  std::map<std::string, const TensorInfo*> by_name;
};

class CheckpointReader : public WeightReader {
 public:
  explicit CheckpointReader(const std::string& folder) : stored_(folder) {}

  void check(const WeightSource& source, const Shape& shape) const override {
    const TensorInfo& tensor = stored_.at(source.parameter);
    if (tensor.shape != shape)
      fail(ErrorKind::Corruption,
           "[checkpoint] {}: tensor '{}' has another shape; got {}; expected {}",
           state_path(stored_.folder), source.parameter, to_string(tensor.shape), to_string(shape));
  }

  void read(const WeightSource& source, const Shape& shape, std::int64_t first_row,
            std::int64_t rows, float* destination) const override {
    check(source, shape);
    const std::int64_t first = first_row * column_count(shape), count = rows * column_count(shape);
    const TensorInfo& tensor = stored_.at(source.parameter);
    if (tensor.dtype == DType::f32) {
      stored_.file.read(tensor, first, count, destination);
      return;
    }
    std::vector<bf16> high(static_cast<size_t>(count));
    std::vector<std::int16_t> low(static_cast<size_t>(count));
    stored_.file.read(tensor, first, count, high.data());
    stored_.file.read(stored_.at(source.parameter + ":" + kMasterLow), first, count, low.data());
    load_master(high.data(), low.data(), count, destination);
  }

 private:
  Stored stored_;
};

}  // namespace

namespace {

void write_files(const std::string& folder, const CheckpointInfo& info,
                 std::span<const NamedMemory> tensors) {
  // Wider dtypes first keeps every tensor aligned to its element.
  std::vector<const NamedMemory*> order;
  for (const NamedMemory& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return size_of(a->dtype) > size_of(b->dtype);
  });
  std::vector<TensorSpec> specs;
  nlohmann::json hashes = nlohmann::json::object();
  for (const NamedMemory* tensor : order) {
    specs.push_back({tensor->name, tensor->dtype, tensor->shape});
    hashes[tensor->name] = hash_of(*tensor);
  }
  SafetensorsWriter writer(state_path(folder), specs);
  for (const NamedMemory* tensor : order)
    writer.append(tensor->data,
                  static_cast<size_t>(tensor->shape.numel() * size_of(tensor->dtype)));
  writer.finish();
  nlohmann::json json = {{"version", kFormatVersion},
                         {"step", info.step},
                         {"cursor", info.cursor},
                         {"threads", info.threads},
                         {"isa", info.isa},
                         {"header", header_hash(state_path(folder))},
                         {"xxh3", hashes}};
  json["checksum"] = info_hash(json);
  write_text_atomically(info_path(folder), json.dump(1) + "\n");
  sync_folder(folder);
}

}  // namespace

void save_checkpoint(const std::string& folder, const CheckpointInfo& info,
                     std::span<const NamedMemory> tensors,
                     const std::function<void(const char*)>& reached) {
  const std::string temporary = (fs::path(folder).parent_path() / kUnfinished).string();
  filesystem_or_fail(temporary, "cannot be created", [&] {
    fs::remove_all(temporary);
    fs::create_directories(temporary);
  });
  try {
    write_files(temporary, info, tensors);
  } catch (const Error&) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);  // a full disk needs the room more than we need the half
    throw;
  }
  reached("mid_checkpoint");
  filesystem_or_fail(folder, "cannot be put in place", [&] {
    fs::remove_all(folder);
    fs::rename(temporary, folder);
  });
  reached("before_checkpoint_sync");
  const fs::path all = fs::path(folder).parent_path();
  sync_folder(all.string());
  sync_names_of(all.string());
}

CheckpointInfo read_checkpoint_info(const std::string& folder) {
  const nlohmann::json json = read_info(folder);
  const JsonFields fields(json, info_path(folder));
  CheckpointInfo info;
  info.step = fields.integer("step", 0);
  info.cursor = fields.text("cursor");
  info.threads = static_cast<int>(fields.integer("threads", 0, 1 << 20));
  info.isa = fields.text("isa");
  return info;
}

void load_checkpoint(const std::string& folder, std::span<const NamedMemory> tensors) {
  const Stored stored(folder);
  for (const NamedMemory& tensor : tensors) {
    const TensorInfo& found = stored.at(tensor.name);
    if (found.dtype != tensor.dtype || found.shape != tensor.shape)
      fail(ErrorKind::Corruption, "[checkpoint] {}: tensor '{}' is {}{}; expected {}{}",
           state_path(folder), tensor.name, name_of(found.dtype), to_string(found.shape),
           name_of(tensor.dtype), to_string(tensor.shape));
    char* destination = static_cast<char*>(tensor.data);
    const std::string hash =
        stream(stored.file, found, [&](const char* bytes, std::int64_t at, std::int64_t count) {
          std::memcpy(destination + at, bytes, static_cast<size_t>(count));
        });
    stored.require_hash(tensor.name, hash);
  }
}

void stream_checkpoint(const std::string& folder, std::span<const NamedBytes> tensors,
                       const std::function<void(size_t tensor, std::int64_t offset,
                                                std::span<const char> piece)>& take) {
  const Stored stored(folder);
  for (size_t t = 0; t < tensors.size(); ++t) {
    const TensorInfo& found = stored.at(tensors[t].name);
    if (static_cast<std::int64_t>(found.bytes) != tensors[t].bytes)
      fail(ErrorKind::Corruption, "[checkpoint] {}: tensor '{}' has {} bytes; expected {}",
           state_path(folder), tensors[t].name, found.bytes, tensors[t].bytes);
    const std::string hash =
        stream(stored.file, found, [&](const char* bytes, std::int64_t at, std::int64_t count) {
          take(t, at, {bytes, static_cast<size_t>(count)});
        });
    stored.require_hash(tensors[t].name, hash);
  }
}

void verify_checkpoint(const std::string& folder) {
  const Stored stored(folder);
  for (const TensorInfo& tensor : stored.file.tensors())
    stored.require_hash(tensor.name, stream(stored.file, tensor, [](auto...) {}));
}

std::unique_ptr<WeightReader> open_checkpoint_weights(const std::string& folder) {
  verify_checkpoint(folder);
  return std::make_unique<CheckpointReader>(folder);
}

}  // namespace outsize
