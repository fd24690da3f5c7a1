#include "machine/profile.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <ctime>

#include "config/value.h"
#include "core/isa.h"
#include "core/parallel.h"
#include "machine/gemm_rate.h"
#include "machine/host.h"
#include "machine/ram_rate.h"

namespace outsize {
namespace {

// Near the peak; the shapes of training are the cost model's (src/costs).
constexpr std::array<GemmShape, 2> kShapes{{{2048, 2048, 2048}, {2048, 4096, 4096}}};

void say(const ProfileOptions& options, std::string_view text) {
  if (options.report) options.report(text);
}

std::optional<Rate>& slot_of(CpuMachine& cpu, DType dtype) {
  if (dtype == DType::bf16) return cpu.gemm_bf16_gflops;
  return dtype == DType::u8 ? cpu.gemm_int8_gflops : cpu.gemm_f32_gflops;
}

CpuMachine profile_cpu(const ProfileOptions& options) {
  CpuMachine cpu;
  cpu.model = cpu_model();
  cpu.cores = thread_count();
  cpu.isa = name_of(active_isa());
  std::vector<GemmShape> shapes = options.gemm_shapes;
  if (shapes.empty()) shapes.assign(kShapes.begin(), kShapes.end());
  for (const DType dtype : {DType::f32, DType::bf16, DType::u8}) {
    say(options, fmt::format("matrix products, {}", dtype == DType::u8 ? "int8" : name_of(dtype)));
    std::optional<Rate>& best = slot_of(cpu, dtype);
    for (const GemmShape& shape : shapes) {
      const auto rate = measure_gemm(dtype, shape, options.gemm_seconds);
      if (!rate) continue;
      cpu.gemm_shapes.push_back({dtype, shape, *rate});
      if (!best || rate->median > best->median) best = rate;
    }
  }
  return cpu;
}

RamMachine profile_ram(const ProfileOptions& options) {
  say(options, "memory");
  RamMachine ram;
  ram.total_bytes = meminfo_bytes("MemTotal");
  ram.available_bytes = meminfo_bytes("MemAvailable");
  ram.limit_bytes = control_group_limit();
  const RamRates rates = options.ram_array_bytes > 0
                             ? measure_ram(options.ram_array_bytes, options.ram_seconds)
                             : measure_ram(options.ram_seconds);
  ram.read_gb_per_second = rates.read_gb_per_second;
  ram.copy_gb_per_second = rates.copy_gb_per_second;
  ram.triad_gb_per_second = rates.triad_gb_per_second;
  return ram;
}

std::string show(const Rate& rate, int digits) {
  return fmt::format("{:.{}f} ({:.{}f} to {:.{}f})", rate.median, digits, rate.p10, digits,
                     rate.p90, digits);
}

std::string show_line(std::string_view label, const std::optional<Rate>& rate,
                      std::string_view unit, int digits) {
  if (!rate) return fmt::format("  {:<14} not available\n", label);
  return fmt::format("  {:<14} {} {}\n", label, show(*rate, digits), unit);
}

// The block size and depth that cost matrix products least, among those near the best rate.
std::string describe_gentlest(const DiskMachine& disk) {
  constexpr double kNear = 0.9;
  std::string text;
  for (const char* kind : {"read", "write"}) {
    double top = 0;
    for (const DiskPoint& point : disk.points)
      if (point.kind == kind) top = std::max(top, point.gb_per_second.median);
    const DiskPoint* best = nullptr;
    for (const DiskPoint& point : disk.points)
      if (point.kind == kind && point.cpu_slowdown > 0 &&
          point.gb_per_second.median >= kNear * top &&
          (best == nullptr || point.cpu_slowdown < best->cpu_slowdown))
        best = &point;
    if (best != nullptr)
      text +=
          fmt::format("  {:<14} {} x {} at {:.2f} GB/s costs products {:.0f} %\n",
                      fmt::format("gentlest {}", kind), best->depth, show_size(best->block_bytes),
                      best->gb_per_second.median, 100 * (1 - 1 / best->cpu_slowdown));
  }
  return text;
}

}  // namespace

Machine profile_machine(const ProfileOptions& options) {
  Machine machine;
  machine.measured_at = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  machine.cpu = profile_cpu(options);
  machine.ram = profile_ram(options);
  if (options.disk) {
    say(options, fmt::format("disk at {}", *options.disk));
    machine.disk = measure_disk(*options.disk, options.disk_probe, machine.ram);
    say(options, "matrix products and the disk together");
    measure_slowdown(options.disk_probe, options.products, machine);
  }
  machine.name = fmt::format("{}, {} cores", machine.cpu.model, machine.cpu.cores);
  machine.versions = {OUTSIZE_VERSION, onednn_version(), "GCC " __VERSION__, kernel_version()};
  return machine;
}

std::string describe(const Machine& machine) {
  const CpuMachine& cpu = machine.cpu;
  std::string text = fmt::format("{}\nmedian (10 % to 90 % of the repeats)\n", machine.name);
  text += fmt::format("matrix products, {} threads, {}\n", cpu.cores, cpu.isa);
  text += show_line("f32", cpu.gemm_f32_gflops, "GFLOP/s", 0);
  text += show_line("bf16", cpu.gemm_bf16_gflops, "GFLOP/s", 0);
  text += show_line("int8", cpu.gemm_int8_gflops, "GOP/s", 0);
  text += fmt::format("memory, {} of {} usable\n", show_size(machine.usable_ram_bytes()),
                      show_size(machine.ram.total_bytes));
  text += show_line("read", machine.ram.read_gb_per_second, "GB/s", 1);
  text += show_line("copy", machine.ram.copy_gb_per_second, "GB/s", 1);
  text += show_line("triad", machine.ram.triad_gb_per_second, "GB/s", 1);
  if (!machine.disk) return text;
  const DiskMachine& disk = *machine.disk;
  text += fmt::format("disk at {}, {}, {} free\n", disk.path, disk.file_system,
                      show_size(disk.free_bytes));
  text += show_line("read", disk.read_gb_per_second, "GB/s", 2);
  text += show_line("write", disk.write_gb_per_second, "GB/s", 2);
  for (const auto& [of, row] : machine.slowdown)
    for (const auto& [by, times] : row)
      text += fmt::format("  {:<14} {:.2f} times longer beside {}\n", of, times, by);
  text += describe_gentlest(disk);
  for (const std::string& warning : disk.warnings) text += fmt::format("  note: {}\n", warning);
  return text;
}

}  // namespace outsize
