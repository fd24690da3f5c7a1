#include "machine/disk_rate.h"

#include <algorithm>
#include <future>

#include "core/error.h"
#include "machine/file_system.h"
#include "machine/probe_file.h"

namespace outsize {
namespace {

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMainBlock = 1024 * kKiB;

struct Setting {
  std::int64_t block_bytes;
  int depth;
};
// One small read for latency, then what a storage layer may choose from.
constexpr Setting kSettings[] = {{4 * kKiB, 1},    {128 * kKiB, 4},  {256 * kKiB, 8},
                                 {1024 * kKiB, 2}, {1024 * kKiB, 4}, {4096 * kKiB, 2},
                                 {4096 * kKiB, 4}};
// Those tried beside matrix products: all move large pieces, they differ in how often the kernel
// must wake.
constexpr Setting kBusySettings[] = {
    {256 * kKiB, 8}, {1024 * kKiB, 4}, {1024 * kKiB, 8}, {4096 * kKiB, 2}};

DiskPoint* find_point(DiskMachine& disk, const char* kind, const Setting& setting) {
  for (DiskPoint& point : disk.points)
    if (point.kind == kind && point.block_bytes == setting.block_bytes &&
        point.depth == setting.depth)
      return &point;
  return nullptr;
}

constexpr double kOverlap = 1.2;  // traffic goes on a little longer on both sides of products

// Matrix products beside disk traffic, and the traffic's rate meanwhile.
struct Together {
  double gflops = 0, gb_per_second = 0;
};
using Products = std::function<double(double seconds)>;

Together run_together(const ProbeFile& file, DiskTraffic traffic, const Setting& setting,
                      const Products& products, double seconds) {
  auto moved = std::async(std::launch::async, [&] {
    return file.run(traffic, setting.block_bytes, setting.depth, kOverlap * seconds);
  });
  const double gflops = products(seconds);
  return {gflops, moved.get().gb_per_second.median};
}

// The median of three: which core the kernel takes for the disk is a matter of luck.
Together median_together(const ProbeFile& file, DiskTraffic traffic, const Setting& setting,
                         const Products& products, double seconds) {
  constexpr int kTrials = 3;
  std::vector<double> gflops, rates;
  for (int trial = 0; trial < kTrials; ++trial) {
    const Together once = run_together(file, traffic, setting, products, seconds / kTrials);
    gflops.push_back(once.gflops);
    rates.push_back(once.gb_per_second);
  }
  return {summarise(gflops).median, summarise(rates).median};
}

// GB/s of reads and of writes while both go on, each for itself: neither waits for the other, as
// the blocks of one mixed queue would.
struct BothWays {
  double read = 0, write = 0;
};

BothWays run_both_ways(const ProbeFile& file, const Setting& setting, double seconds) {
  const auto rate = [&](DiskTraffic traffic) {
    return file.run(traffic, setting.block_bytes, setting.depth, seconds).gb_per_second.median;
  };
  auto writes = std::async(std::launch::async, rate, DiskTraffic::write);
  const double reads = rate(DiskTraffic::read);
  return {reads, writes.get()};
}

double factor(double alone, double beside) {
  return beside > 0 ? std::max(1.0, alone / beside) : 1.0;
}

}  // namespace

RatesTogether measure_together(const std::string& folder,
                               const std::function<double(double seconds)>& products,
                               double seconds) {
  const DiskProbe probe;
  const ProbeFile file(folder, probe.file_bytes);
  auto moved = std::async(std::launch::async, [&] {
    return run_both_ways(file, {kMainBlock, probe.depth}, kOverlap * seconds);
  });
  const double gflops = products(seconds);
  const BothWays rates = moved.get();
  return {gflops, rates.read, rates.write};
}

std::vector<std::string> disk_warnings(const DiskMachine& disk, const RamMachine& ram,
                                       double cached_share) {
  constexpr double kSlowGb = 0.3;        // hard disks and most network drives stay below
  constexpr double kSlowLatency = 3e-3;  // so do their seeks stay above
  constexpr double kCachedShare = 0.05;
  std::vector<std::string> warnings;
  if (disk.kind == "memory") warnings.push_back("this folder is memory, not a disk");
  if (disk.kind == "network") warnings.push_back("this folder is on another computer");
  if (!disk.direct)
    warnings.push_back("the file system has no direct I/O: the rates are the page cache's");
  else if (cached_share > kCachedShare)
    warnings.push_back(
        "the file system keeps direct I/O in the page cache: rates flatter the disk");
  if (ram.copy_gb_per_second && disk.read_gb_per_second.median > ram.copy_gb_per_second->median / 2)
    warnings.push_back("it reads at the speed of memory: a cache answers, not a disk");
  if (disk.read_gb_per_second.median < kSlowGb || disk.write_gb_per_second.median < kSlowGb)
    warnings.push_back("it is slow: streaming from it will limit every step");
  if (disk.latency_seconds > kSlowLatency)
    warnings.push_back("it answers late: a hard disk, or a disk behind a network");
  return warnings;
}

DiskMachine measure_disk(const std::string& folder, const DiskProbe& probe, const RamMachine& ram) {
  const FileSystem system = file_system_of(folder);
  DiskMachine disk;
  disk.path = folder;
  disk.file_system = system.name;
  disk.kind = system.kind;
  disk.free_bytes = system.free_bytes;
  const ProbeFile file(folder, probe.file_bytes);
  disk.direct = file.direct();
  const auto measure = [&](DiskTraffic traffic, const Setting& setting, double seconds) {
    disk.points.push_back(file.run(traffic, setting.block_bytes, setting.depth, seconds));
    return disk.points.back();
  };
  const Setting main{kMainBlock, probe.depth};
  disk.write_gb_per_second = measure(DiskTraffic::write, main, probe.seconds).gb_per_second;
  measure(DiskTraffic::mixed, main, probe.seconds);
  file.settle();
  disk.read_gb_per_second = measure(DiskTraffic::read, main, probe.seconds).gb_per_second;
  for (const Setting& setting : kSettings)
    for (const DiskTraffic traffic : {DiskTraffic::read, DiskTraffic::write})
      measure(traffic, setting, probe.point_seconds);
  disk.latency_seconds = find_point(disk, "read", kSettings[0])->latency_seconds;
  disk.warnings = disk_warnings(disk, ram, file.cached_share());
  return disk;
}

void measure_slowdown(const DiskProbe& probe, const Products& products, Machine& machine) {
  ensure(machine.disk.has_value(), "[disk] no disk was measured");
  DiskMachine& disk = *machine.disk;
  const ProbeFile file(disk.path, probe.file_bytes);
  const double seconds = 2 * probe.point_seconds;
  constexpr int kTrials = 3;
  std::vector<double> quiet;
  for (int trial = 0; trial < kTrials; ++trial) quiet.push_back(products(seconds / kTrials));
  const double alone = summarise(quiet).median;
  for (const DiskTraffic traffic : {DiskTraffic::read, DiskTraffic::write}) {
    const bool reads = traffic == DiskTraffic::read;
    const std::string resource = reads ? "disk_read" : "disk_write";
    for (const Setting& setting : kBusySettings) {
      const Together both = median_together(file, traffic, setting, products, seconds);
      if (DiskPoint* point = find_point(disk, name_of(traffic), setting))
        point->cpu_slowdown = factor(alone, both.gflops);
      if (setting.block_bytes != kMainBlock || setting.depth != probe.depth) continue;
      const Rate& rate = reads ? disk.read_gb_per_second : disk.write_gb_per_second;
      machine.slowdown["cpu"][resource] = factor(alone, both.gflops);
      machine.slowdown[resource]["cpu"] = factor(rate.median, both.gb_per_second);
    }
  }
  const BothWays both = run_both_ways(file, {kMainBlock, probe.depth}, seconds);
  machine.slowdown["disk_read"]["disk_write"] = factor(disk.read_gb_per_second.median, both.read);
  machine.slowdown["disk_write"]["disk_read"] = factor(disk.write_gb_per_second.median, both.write);
}

}  // namespace outsize
