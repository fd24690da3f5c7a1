#include "machine/machine_file.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "config/nearest.h"
#include "core/error.h"
#include "core/file.h"
#include "formats/json.h"

namespace outsize {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kVersion = 1;
constexpr JsonLimits kLimits{.max_bytes = 1 << 20, .max_depth = 8, .allow_duplicate_keys = false};

const char* gemm_name(DType dtype) {
  return dtype == DType::u8 ? "int8" : name_of(dtype);
}

Json to_json(const Rate& rate) {
  return {{"median", rate.median}, {"p10", rate.p10}, {"p90", rate.p90}};
}

void put(Json& object, const char* key, const std::optional<Rate>& rate) {
  if (rate) object[key] = to_json(*rate);
}

Json to_json(const CpuMachine& cpu) {
  Json gemm = Json::object();
  put(gemm, "f32", cpu.gemm_f32_gflops);
  put(gemm, "bf16", cpu.gemm_bf16_gflops);
  put(gemm, "int8", cpu.gemm_int8_gflops);
  Json shapes = Json::array();
  for (const GemmRate& rate : cpu.gemm_shapes)
    shapes.push_back({{"dtype", gemm_name(rate.dtype)},
                      {"m", rate.shape.m},
                      {"k", rate.shape.k},
                      {"n", rate.shape.n},
                      {"gflops", to_json(rate.gflops)}});
  return {{"model", cpu.model},
          {"cores", cpu.cores},
          {"isa", cpu.isa},
          {"gemm_gflops", gemm},
          {"gemm_shapes", shapes}};
}

Json to_json(const RamMachine& ram) {
  Json json{{"total_bytes", ram.total_bytes}, {"available_bytes", ram.available_bytes}};
  if (ram.limit_bytes) json["limit_bytes"] = *ram.limit_bytes;
  put(json, "read_gb_per_second", ram.read_gb_per_second);
  put(json, "copy_gb_per_second", ram.copy_gb_per_second);
  put(json, "triad_gb_per_second", ram.triad_gb_per_second);
  return json;
}

Json to_json(const DiskMachine& disk) {
  return {{"path", disk.path},
          {"file_system", disk.file_system},
          {"kind", disk.kind},
          {"direct", disk.direct},
          {"free_bytes", disk.free_bytes},
          {"read_gb_per_second", to_json(disk.read_gb_per_second)},
          {"write_gb_per_second", to_json(disk.write_gb_per_second)}};
}

// One object of the file: its fields typed, its keys checked against those known.
class Reader {
 public:
  Reader(const nlohmann::json& object, const std::string& file, const std::string& prefix,
         std::initializer_list<std::string_view> known)
      : fields_(object, file, prefix), file_(file), prefix_(prefix) {
    const std::vector<std::string_view> names(known);
    for (const auto& item : object.items()) {
      if (std::find(names.begin(), names.end(), item.key()) != names.end()) continue;
      fail(ErrorKind::InvalidArgument, "[{}] unknown key; got '{}{}'; {}", file, prefix,
           shown(item.key()), suggest_name(item.key(), names));
    }
  }

  const JsonFields& operator*() const { return fields_; }
  const JsonFields* operator->() const { return &fields_; }

  const nlohmann::json& value(std::string_view field) const {
    const nlohmann::json* found = fields_.find(field);
    if (found == nullptr) fields_.fail_field(field, "is missing");
    return *found;
  }

  // A number, or an object {median, p10, p90}; p10 and p90 default to the median.
  Rate rate(std::string_view field) const {
    const nlohmann::json& json = value(field);
    Rate rate;
    if (json.is_number()) {
      rate.median = rate.p10 = rate.p90 = fields_.number(field);
    } else if (json.is_object()) {
      const Reader parts(json, file_, fmt::format("{}{}.", prefix_, field),
                         {"median", "p10", "p90"});
      rate.median = parts->number("median");
      rate.p10 = parts->number_or("p10", rate.median);
      rate.p90 = parts->number_or("p90", rate.median);
    } else {
      fields_.fail_field(field, "is no rate; expected a number or {median, p10, p90}");
    }
    if (!(rate.p10 > 0 && rate.p10 <= rate.median && rate.median <= rate.p90))
      fields_.fail_field(field, "is no rate; expected 0 < p10 <= median <= p90");
    return rate;
  }

  std::optional<Rate> rate_or_none(std::string_view field) const {
    return fields_.has(field) ? std::optional(rate(field)) : std::nullopt;
  }

 private:
  // Keys come from the file: bounded in a message.
  static std::string shown(const std::string& key) {
    constexpr std::size_t kShownBytes = 60;
    return key.size() <= kShownBytes ? key : "… of " + std::to_string(key.size()) + " bytes";
  }

  JsonFields fields_;
  const std::string& file_;
  std::string prefix_;
};

DType parse_gemm_dtype(const Reader& reader) {
  const std::string name = reader->text("dtype");
  for (const DType dtype : {DType::f32, DType::bf16, DType::u8})
    if (name == gemm_name(dtype)) return dtype;
  reader->fail_field("dtype", "is unknown; expected f32, bf16 or int8");
}

CpuMachine parse_cpu(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "cpu.", {"model", "cores", "isa", "gemm_gflops", "gemm_shapes"});
  CpuMachine cpu;
  cpu.model = reader->text_or("model", "");
  cpu.cores = static_cast<int>(reader->integer("cores", 1, 1 << 20));
  cpu.isa = reader->text_or("isa", "");
  const Reader gemm(reader.value("gemm_gflops"), name, "cpu.gemm_gflops.", {"f32", "bf16", "int8"});
  cpu.gemm_f32_gflops = gemm.rate_or_none("f32");
  cpu.gemm_bf16_gflops = gemm.rate_or_none("bf16");
  cpu.gemm_int8_gflops = gemm.rate_or_none("int8");
  if (!cpu.gemm_f32_gflops) gemm->fail_field("f32", "is missing");
  if (!reader->has("gemm_shapes")) return cpu;
  const nlohmann::json& shapes = reader.value("gemm_shapes");
  if (!shapes.is_array()) reader->fail_field("gemm_shapes", "is no list");
  for (const nlohmann::json& item : shapes) {
    const Reader shape(item, name, "cpu.gemm_shapes.", {"dtype", "m", "k", "n", "gflops"});
    constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;
    cpu.gemm_shapes.push_back({parse_gemm_dtype(shape),
                               {shape->integer("m", 1, kMaxSide), shape->integer("k", 1, kMaxSide),
                                shape->integer("n", 1, kMaxSide)},
                               shape.rate("gflops")});
  }
  return cpu;
}

RamMachine parse_ram(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "ram.",
                      {"total_bytes", "available_bytes", "limit_bytes", "read_gb_per_second",
                       "copy_gb_per_second", "triad_gb_per_second"});
  RamMachine ram;
  ram.total_bytes = reader->integer("total_bytes", 1);
  ram.available_bytes = reader->integer_or("available_bytes", ram.total_bytes, 0);
  if (reader->has("limit_bytes")) ram.limit_bytes = reader->integer("limit_bytes", 1);
  ram.read_gb_per_second = reader.rate_or_none("read_gb_per_second");
  ram.copy_gb_per_second = reader.rate_or_none("copy_gb_per_second");
  ram.triad_gb_per_second = reader.rate_or_none("triad_gb_per_second");
  return ram;
}

DiskMachine parse_disk(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "disk.",
                      {"path", "file_system", "kind", "direct", "free_bytes", "read_gb_per_second",
                       "write_gb_per_second"});
  DiskMachine disk;
  disk.path = reader->text_or("path", "");
  disk.file_system = reader->text_or("file_system", "");
  disk.kind = reader->text_or("kind", "local");
  if (disk.kind != "local" && disk.kind != "memory" && disk.kind != "network")
    reader->fail_field("kind", "is unknown; expected local, memory or network");
  disk.direct = reader->boolean_or("direct", true);
  disk.free_bytes = reader->integer("free_bytes", 0);
  disk.read_gb_per_second = reader.rate("read_gb_per_second");
  disk.write_gb_per_second = reader.rate("write_gb_per_second");
  return disk;
}

}  // namespace

std::string machine_json(const Machine& machine) {
  Json json{{"version", kVersion}, {"name", machine.name}, {"measured_at", machine.measured_at}};
  json["cpu"] = to_json(machine.cpu);
  json["ram"] = to_json(machine.ram);
  if (machine.disk) json["disk"] = to_json(*machine.disk);
  json["versions"] = {{"outsize", machine.versions.outsize},
                      {"onednn", machine.versions.onednn},
                      {"compiler", machine.versions.compiler},
                      {"kernel", machine.versions.kernel}};
  // A path that is no UTF-8 must not end a measurement: its bad bytes are replaced.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Machine parse_machine(std::string_view text, const std::string& name) {
  const nlohmann::json json = parse_json(text, name, kLimits);
  if (!json.is_object())
    fail(ErrorKind::InvalidArgument, "[{}] no machine; got {}; expected an object", name,
         json.type_name());
  const Reader reader(json, name, "",
                      {"version", "name", "measured_at", "cpu", "ram", "disk", "versions"});
  const std::int64_t version = reader->integer_or("version", kVersion, 1);
  if (version > kVersion)
    fail(ErrorKind::Unsupported, "[{}] written by a newer outsize; got version {}; expected {}",
         name, version, kVersion);
  Machine machine;
  machine.name = reader->text_or("name", "");
  machine.measured_at = reader->text_or("measured_at", "");
  machine.cpu = parse_cpu(reader.value("cpu"), name);
  machine.ram = parse_ram(reader.value("ram"), name);
  if (reader->has("disk")) machine.disk = parse_disk(reader.value("disk"), name);
  if (!reader->has("versions")) return machine;
  const Reader versions(reader.value("versions"), name, "versions.",
                        {"outsize", "onednn", "compiler", "kernel"});
  machine.versions = {versions->text_or("outsize", ""), versions->text_or("onednn", ""),
                      versions->text_or("compiler", ""), versions->text_or("kernel", "")};
  return machine;
}

Machine read_machine(const std::string& path) {
  return parse_machine(read_text(path, kLimits.max_bytes), path);
}

void write_machine(const Machine& machine, const std::string& path) {
  write_text_atomically(path, machine_json(machine));
}

}  // namespace outsize
