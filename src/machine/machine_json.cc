#include "machine/machine_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "machine/machine_file.h"

namespace outsize {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const Rate& rate) {
  if (rate.p10 == rate.median && rate.p90 == rate.median) return rate.median;
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
    shapes.push_back({{"dtype", gemm_dtype_name(rate.dtype)},
                      {"form", name_of(rate.form)},
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
  Json points = Json::array();
  for (const DiskPoint& point : disk.points)
    points.push_back({{"kind", point.kind},
                      {"block_bytes", point.block_bytes},
                      {"depth", point.depth},
                      {"gb_per_second", to_json(point.gb_per_second)},
                      {"latency_seconds", point.latency_seconds},
                      {"cpu_slowdown", point.cpu_slowdown}});
  return {{"path", disk.path},
          {"file_system", disk.file_system},
          {"kind", disk.kind},
          {"direct", disk.direct},
          {"free_bytes", disk.free_bytes},
          {"read_gb_per_second", to_json(disk.read_gb_per_second)},
          {"write_gb_per_second", to_json(disk.write_gb_per_second)},
          {"latency_seconds", disk.latency_seconds},
          {"points", points},
          {"warnings", disk.warnings}};
}

Json to_json(const DeviceMachine& device) {
  Json gemm = Json::object();
  put(gemm, "f32", device.gemm_f32_gflops);
  put(gemm, "bf16", device.gemm_bf16_gflops);
  return {{"model", device.model},
          {"memory_bytes", device.memory_bytes},
          {"memory_gb_per_second", to_json(device.memory_gb_per_second)},
          {"gemm_gflops", gemm}};
}

void put(Json& object, const char* key, const std::optional<LinkMachine>& link) {
  if (link)
    object[key] = {{"gb_per_second", to_json(link->gb_per_second)},
                   {"latency_seconds", link->latency_seconds}};
}

Json to_json(const OpRate& rate) {
  Json points = Json::array();
  for (const OpPoint& point : rate.points)
    points.push_back(Json::array({point.work, point.bytes, point.seconds}));
  return {{"op", rate.op}, {"variant", rate.variant}, {"width", rate.width}, {"points", points}};
}

// A path that is no UTF-8 must not end a measurement: its bad bytes are replaced.
std::string compact(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Short things on one line: hundreds of rates stay readable.
std::string pretty(const Json& json, const std::string& indent) {
  constexpr size_t kLineBytes = 100;
  std::string line = compact(json);
  if (!json.is_structured() || json.empty() || line.size() + indent.size() <= kLineBytes)
    return line;
  const std::string inner = indent + "  ";
  std::string text;
  for (const auto& item : json.items()) {
    text += text.empty() ? "\n" : ",\n";
    text += inner;
    if (json.is_object()) text += compact(item.key()) + ": ";
    text += pretty(item.value(), inner);
  }
  return (json.is_object() ? "{" : "[") + text + "\n" + indent + (json.is_object() ? "}" : "]");
}

}  // namespace

std::string machine_json(const Machine& machine) {
  Json json{
      {"version", kMachineVersion}, {"name", machine.name}, {"measured_at", machine.measured_at}};
  json["cpu"] = to_json(machine.cpu);
  json["ram"] = to_json(machine.ram);
  if (machine.disk) json["disk"] = to_json(*machine.disk);
  if (machine.device) json["device"] = to_json(*machine.device);
  put(json, "h2d", machine.h2d);
  put(json, "d2h", machine.d2h);
  put(json, "net", machine.net);
  json["ops"] = Json::array();
  for (const OpRate& rate : machine.ops) json["ops"].push_back(to_json(rate));
  for (const CallTime& time : machine.calls)
    json["calls"].push_back({{"call", time.call}, {"seconds", time.seconds}});
  json["slowdown"] = machine.slowdown;
  json["versions"] = {{"outsize", machine.versions.outsize},
                      {"onednn", machine.versions.onednn},
                      {"compiler", machine.versions.compiler},
                      {"kernel", machine.versions.kernel}};
  return pretty(json, "") + "\n";
}

}  // namespace outsize
