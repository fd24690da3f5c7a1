// `outsize profile`: measures this computer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "machine/disk_rate.h"
#include "machine/machine.h"

namespace outsize {

struct ProfileOptions {
  std::optional<std::string> disk;  // folder; absent: no disk is measured
  double gemm_seconds = 0.4;        // per shape and dtype
  double ram_seconds = 0.5;         // per kind of pass
  DiskProbe disk_probe;
  // What runs beside the disk, as measure_slowdown takes it; needed with a disk.
  std::function<double(double seconds)> products;
  std::vector<GemmShape> gemm_shapes;  // empty: a few that training is made of
  std::int64_t ram_array_bytes = 0;    // 0: by cache and free memory
  // Told before each measurement what is measured now; may be empty.
  std::function<void(std::string_view)> report;
};

// Takes about 20 s with the default options. Throws as measure_disk and measure_ram do.
Machine profile_machine(const ProfileOptions& options);

// The figures as text of a few lines, for people.
std::string describe(const Machine& machine);

}  // namespace outsize
