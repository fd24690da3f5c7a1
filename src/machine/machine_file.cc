#include "machine/machine_file.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "config/nearest.h"
#include "core/error.h"
#include "core/file.h"
#include "formats/json.h"
#include "machine/machine_json.h"

namespace outsize {
namespace {

constexpr double kMaxSlowdown = 1000;
constexpr JsonLimits kLimits{.max_bytes = 16 << 20, .max_depth = 8, .allow_duplicate_keys = false};

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

  // A number of seconds from 0; absent: 0.
  double seconds_or_none(std::string_view field) const {
    const double seconds = fields_.number_or(field, 0);
    if (seconds < 0) fields_.fail_field(field, "is no time; expected a number from 0");
    return seconds;
  }

  // A list; absent: an empty one.
  const nlohmann::json& list(std::string_view field) const {
    static const nlohmann::json none = nlohmann::json::array();
    const nlohmann::json* found = fields_.find(field);
    if (found == nullptr) return none;
    if (!found->is_array()) fields_.fail_field(field, "is no list");
    return *found;
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
    if (name == gemm_dtype_name(dtype)) return dtype;
  reader->fail_field("dtype", "is unknown; expected f32, bf16 or int8");
}

GemmForm parse_gemm_form(const Reader& reader) {
  const std::string name = reader->text_or("form", name_of(GemmForm::packed));
  for (const GemmForm form : kGemmForms)
    if (name == name_of(form)) return form;
  reader->fail_field("form", "is unknown; expected packed, nt, nn, tn or tn+");
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
  for (const nlohmann::json& item : reader.list("gemm_shapes")) {
    const Reader shape(item, name, "cpu.gemm_shapes.", {"dtype", "form", "m", "k", "n", "gflops"});
    constexpr std::int64_t kMaxSide = std::int64_t{1} << 31;
    cpu.gemm_shapes.push_back({parse_gemm_dtype(shape),
                               {shape->integer("m", 1, kMaxSide), shape->integer("k", 1, kMaxSide),
                                shape->integer("n", 1, kMaxSide)},
                               shape.rate("gflops"),
                               parse_gemm_form(shape)});
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

DiskPoint parse_point(const nlohmann::json& json, const std::string& name) {
  const Reader reader(
      json, name, "disk.points.",
      {"kind", "block_bytes", "depth", "gb_per_second", "latency_seconds", "cpu_slowdown"});
  DiskPoint point;
  point.kind = reader->text("kind");
  if (point.kind != "read" && point.kind != "write" && point.kind != "mixed")
    reader->fail_field("kind", "is unknown; expected read, write or mixed");
  point.block_bytes = reader->integer("block_bytes", 1, std::int64_t{1} << 40);
  point.depth = static_cast<int>(reader->integer("depth", 1, 1 << 20));
  point.gb_per_second = reader.rate("gb_per_second");
  point.latency_seconds = reader.seconds_or_none("latency_seconds");
  point.cpu_slowdown = reader.seconds_or_none("cpu_slowdown");
  return point;
}

DiskMachine parse_disk(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "disk.",
                      {"path", "file_system", "kind", "direct", "free_bytes", "read_gb_per_second",
                       "write_gb_per_second", "latency_seconds", "points", "warnings"});
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
  disk.latency_seconds = reader.seconds_or_none("latency_seconds");
  disk.warnings = reader->texts("warnings");
  for (const nlohmann::json& item : reader.list("points"))
    disk.points.push_back(parse_point(item, name));
  return disk;
}

DeviceMachine parse_device(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "device.",
                      {"model", "memory_bytes", "memory_gb_per_second", "gemm_gflops"});
  DeviceMachine device;
  device.model = reader->text_or("model", "");
  device.memory_bytes = reader->integer("memory_bytes", 1);
  device.memory_gb_per_second = reader.rate("memory_gb_per_second");
  const Reader gemm(reader.value("gemm_gflops"), name, "device.gemm_gflops.", {"f32", "bf16"});
  device.gemm_f32_gflops = gemm.rate_or_none("f32");
  device.gemm_bf16_gflops = gemm.rate_or_none("bf16");
  return device;
}

std::optional<LinkMachine> parse_link(const Reader& machine, const std::string& link,
                                      const std::string& name) {
  if (!machine->has(link)) return std::nullopt;
  const Reader reader(machine.value(link), name, link + ".", {"gb_per_second", "latency_seconds"});
  return LinkMachine{reader.rate("gb_per_second"), reader.seconds_or_none("latency_seconds")};
}

// Points in the order of their work, and time that never falls with it: costs interpolate.
void check_points(const Reader& reader, const std::vector<OpPoint>& points) {
  if (points.empty()) reader->fail_field("points", "is empty; expected [work, bytes, seconds]");
  for (size_t i = 1; i < points.size(); ++i)
    if (points[i].work <= points[i - 1].work || points[i].seconds < points[i - 1].seconds)
      reader->fail_field("points", "is out of order; expected work and seconds to ascend");
}

OpRate parse_op(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "ops.", {"op", "variant", "width", "points"});
  OpRate rate{reader->text("op"), reader->text("variant"), reader->integer_or("width", 1, 1), {}};
  for (const nlohmann::json& item : reader.list("points")) {
    if (!item.is_array() || item.size() != 3)
      reader->fail_field("points", "is no list of [work, bytes, seconds]");
    std::array<double, 3> numbers{};
    for (size_t i = 0; i < 3; ++i) {
      numbers[i] = item[i].is_number() ? item[i].get<double>() : -1;
      if (!std::isfinite(numbers[i]) || numbers[i] < 0 || (i == 0 && numbers[i] <= 0))
        reader->fail_field("points", "is no list of [work > 0, bytes, seconds]");
    }
    rate.points.push_back({numbers[0], numbers[1], numbers[2]});
  }
  check_points(reader, rate.points);
  return rate;
}

CallTime parse_call(const nlohmann::json& json, const std::string& name) {
  const Reader reader(json, name, "calls.", {"call", "seconds"});
  CallTime time{reader->text("call"), reader->number("seconds")};
  if (!(time.seconds > 0)) reader->fail_field("seconds", "is no time; expected a number above 0");
  return time;
}

std::map<std::string, std::map<std::string, double>> parse_slowdown(const nlohmann::json& json,
                                                                    const std::string& name) {
  const auto resources = {"cpu", "disk_read", "disk_write", "device", "h2d", "d2h", "net"};
  const std::initializer_list<std::string_view> known = {"cpu", "disk_read", "disk_write", "device",
                                                         "h2d", "d2h",       "net"};
  std::map<std::string, std::map<std::string, double>> slowdown;
  const Reader all(json, name, "slowdown.", known);
  for (const char* of : resources) {
    if (!all->has(of)) continue;
    const Reader row(all.value(of), name, fmt::format("slowdown.{}.", of), known);
    for (const char* by : resources) {
      if (!row->has(by)) continue;
      const double factor = row->number(by);
      if (factor < 1 || factor > kMaxSlowdown)
        row->fail_field(by, "is no slowdown; expected a factor from 1 to 1000");
      slowdown[of][by] = factor;
    }
  }
  return slowdown;
}

}  // namespace

Machine parse_machine(std::string_view text, const std::string& name) {
  const nlohmann::json json = parse_json(text, name, kLimits);
  if (!json.is_object())
    fail(ErrorKind::InvalidArgument, "[{}] no machine; got {}; expected an object", name,
         json.type_name());
  const Reader reader(json, name, "",
                      {"version", "name", "measured_at", "cpu", "ram", "disk", "device", "h2d",
                       "d2h", "net", "ops", "calls", "slowdown", "versions"});
  const std::int64_t version = reader->integer_or("version", kMachineVersion, 1);
  if (version > kMachineVersion)
    fail(ErrorKind::Unsupported, "[{}] written by a newer outsize; got version {}; expected {}",
         name, version, kMachineVersion);
  Machine machine;
  machine.name = reader->text_or("name", "");
  machine.measured_at = reader->text_or("measured_at", "");
  machine.cpu = parse_cpu(reader.value("cpu"), name);
  machine.ram = parse_ram(reader.value("ram"), name);
  if (reader->has("disk")) machine.disk = parse_disk(reader.value("disk"), name);
  if (reader->has("device")) machine.device = parse_device(reader.value("device"), name);
  machine.h2d = parse_link(reader, "h2d", name);
  machine.d2h = parse_link(reader, "d2h", name);
  machine.net = parse_link(reader, "net", name);
  for (const nlohmann::json& item : reader.list("ops")) machine.ops.push_back(parse_op(item, name));
  for (const nlohmann::json& item : reader.list("calls"))
    machine.calls.push_back(parse_call(item, name));
  if (reader->has("slowdown")) machine.slowdown = parse_slowdown(reader.value("slowdown"), name);
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
