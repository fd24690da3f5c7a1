// Rates are checked for sense, never for size: the machine running the tests may be busy.
#include "machine/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/parallel.h"
#include "machine/disk_rate.h"
#include "machine/doctor.h"
#include "machine/file_system.h"
#include "machine/gemm_rate.h"
#include "machine/host.h"
#include "machine/machine_file.h"
#include "machine/ram_rate.h"

namespace outsize {
namespace {

using testing::HasSubstr;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "outsize-machine-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

void write_file(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

void expect_sensible(const Rate& rate) {
  EXPECT_TRUE(std::isfinite(rate.p90));
  EXPECT_GT(rate.p10, 0);
  EXPECT_LE(rate.p10, rate.median);
  EXPECT_LE(rate.median, rate.p90);
}

TEST(Rate, SummarisesByRank) {
  std::vector<double> samples;
  for (int i = 100; i >= 0; --i) samples.push_back(i);
  const Rate rate = summarise(samples);
  EXPECT_EQ(rate.median, 50);
  EXPECT_EQ(rate.p10, 10);
  EXPECT_EQ(rate.p90, 90);
  const double one[] = {3};
  EXPECT_EQ(summarise(one).p10, 3);
  EXPECT_THROW(summarise({}), Error);
}

TEST(Gemm, EveryDtypeHasARateOrNone) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::u8}) {
    const auto rate = measure_gemm(dtype, {33, 65, 17}, 0);
    if (rate) expect_sensible(*rate);
    EXPECT_TRUE(rate || dtype != DType::f32);
  }
  EXPECT_THROW(measure_gemm(DType::f64, {8, 8, 8}, 0), Error);
  EXPECT_THROW(measure_gemm(DType::f32, {0, 8, 8}, 0), Error);
  EXPECT_THROW(measure_gemm(DType::f32, {8, -1, 8}, 0), Error);
}

TEST(Gemm, MoreThanMemoryIsOutOfMemory) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 28;
  try {
    measure_gemm(DType::f32, {kHuge, kHuge, kHuge}, 0);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory) << error.what();
  }
}

TEST(Disk, SaysWhatMakesItsRatesUntrue) {
  DiskMachine disk;
  disk.kind = "local";
  disk.direct = true;
  disk.read_gb_per_second = disk.write_gb_per_second = {2, 2, 2};
  RamMachine ram;
  ram.copy_gb_per_second = Rate{20, 20, 20};
  EXPECT_TRUE(disk_warnings(disk, ram, 0).empty());
  EXPECT_THAT(disk_warnings(disk, ram, 0.5), testing::ElementsAre(HasSubstr("page cache")));
  disk.read_gb_per_second = {15, 15, 15};
  EXPECT_THAT(disk_warnings(disk, ram, 0), testing::ElementsAre(HasSubstr("a cache answers")));
  disk.read_gb_per_second = {0.1, 0.1, 0.1};
  disk.latency_seconds = 0.01;
  EXPECT_EQ(disk_warnings(disk, ram, 0).size(), 2u);  // slow, and late
  disk.kind = "memory";
  disk.direct = false;
  EXPECT_EQ(disk_warnings(disk, ram, 0).size(), 4u);
}

TEST(Ram, RatesAreSensible) {
  const RamRates rates = measure_ram(1 << 20, 0);
  expect_sensible(rates.read_gb_per_second);
  expect_sensible(rates.copy_gb_per_second);
  expect_sensible(rates.triad_gb_per_second);
  EXPECT_GE(ram_array_bytes(0), 1 << 20);
  EXPECT_LE(ram_array_bytes(std::int64_t{1} << 50), std::int64_t{1} << 30);
  EXPECT_LE(3 * ram_array_bytes(std::int64_t{1} << 30), std::int64_t{1} << 30);
}

TEST(Disk, MeasuresAndLeavesNothing) {
  const Folder folder;
  const DiskMachine disk = measure_disk(
      folder.path, {.file_bytes = 4 << 20, .seconds = 0.05, .point_seconds = 0.01, .depth = 3});
  expect_sensible(disk.read_gb_per_second);
  expect_sensible(disk.write_gb_per_second);
  EXPECT_FALSE(disk.file_system.empty());
  EXPECT_GT(disk.free_bytes, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
}

TEST(Disk, IsMeasuredBesideProductsInBothDirections) {
  const Folder folder;
  double asked = 0;
  const auto products = [&](double seconds) { return asked = seconds; };
  const RatesTogether rates = measure_together(folder.path, products, 0.05);
  EXPECT_EQ(asked, 0.05);
  EXPECT_EQ(rates.gflops, 0.05);
  EXPECT_GT(rates.read_gb_per_second, 0);
  EXPECT_GT(rates.write_gb_per_second, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
  EXPECT_THROW(measure_together("/nonexistent", products, 0.05), Error);
}

TEST(Disk, TmpfsIsCalledMemory) {
  if (!std::filesystem::is_directory("/dev/shm")) GTEST_SKIP() << "no /dev/shm";
  const FileSystem system = file_system_of("/dev/shm");
  if (system.name != "tmpfs") GTEST_SKIP() << "/dev/shm is " << system.name;
  EXPECT_EQ(system.kind, "memory");
}

TEST(Disk, BadPlacesAreTyped) {
  try {
    measure_disk("/no/such/folder");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Io);
    EXPECT_THAT(error.what(), HasSubstr("/no/such/folder"));
  }
  const Folder folder;
  try {
    measure_disk(folder.path, {.file_bytes = std::int64_t{1} << 60});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::OutOfMemory);
  }
  bool direct = true;
  EXPECT_THROW(open_unnamed_file("/proc", direct), Error);
}

TEST(FileSystem, KnowsTheUsualKinds) {
  EXPECT_EQ(describe_file_system(0xEF53).kind, "local");
  EXPECT_EQ(describe_file_system(0x01021994).kind, "memory");
  EXPECT_EQ(describe_file_system(0x6969).kind, "network");
  EXPECT_EQ(describe_file_system(0x1234567).name, "0x1234567");
}

TEST(Host, TellsTheBasics) {
  EXPECT_FALSE(cpu_model().empty());
  EXPECT_GE(online_cores(), 1);
  EXPECT_GE(usable_cores(), 1);
  EXPECT_GT(meminfo_bytes("MemTotal"), 1 << 20);
  EXPECT_EQ(meminfo_bytes("NoSuchField"), 0);
  EXPECT_EQ(read_pseudo_file("/no/such/file"), "");
  EXPECT_THAT(kernel_version(), HasSubstr(" "));
}

TEST(Host, ControlGroupLimitIsTheTightest) {
  const Folder folder;
  const std::string& mount = folder.path;
  write_file(mount + "/a/memory.max", "8000\n");
  write_file(mount + "/a/b/memory.max", "max\n");
  EXPECT_EQ(control_group_limit("0::/a/b\n", mount), 8000);
  write_file(mount + "/a/b/memory.max", "5000\n");
  EXPECT_EQ(control_group_limit("0::/a/b\n", mount), 5000);
  EXPECT_FALSE(control_group_limit("0::/elsewhere\n", mount));
  write_file(mount + "/memory/c/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_FALSE(control_group_limit("5:cpu,memory:/c\n", mount));
  write_file(mount + "/memory/memory.limit_in_bytes", "7000\n");
  EXPECT_EQ(control_group_limit("3:cpuset:/x\n5:cpu,memory:/c\n", mount), 7000);
  for (const char* odd : {"", "\n", "::", "0::", "0::/", "nonsense", "a:b", "5:memory:", ":::::\n"})
    control_group_limit(odd, mount + "/none");
}

TEST(Profile, FillsAMachineThatReadsBack) {
  const Folder folder;
  ProfileOptions options;
  options.disk = folder.path;
  options.gemm_seconds = options.ram_seconds = 0;
  options.gemm_shapes = {{32, 32, 32}, {64, 32, 16}};
  options.ram_array_bytes = 1 << 16;
  options.disk_probe = {.file_bytes = 1 << 20, .seconds = 0.01, .point_seconds = 0.01, .depth = 4};
  int calls = 0;
  options.products = [&](double) { return ++calls > 3 ? 50.0 : 100.0; };  // 3 times alone
  std::vector<std::string> told;
  options.report = [&](std::string_view text) { told.emplace_back(text); };
  const Machine machine = profile_machine(options);
  EXPECT_EQ(machine.cpu.cores, thread_count());
  ASSERT_TRUE(machine.cpu.gemm_f32_gflops);
  EXPECT_GE(machine.cpu.gemm_shapes.size(), 2u);
  EXPECT_EQ(told.size(), 6u);
  EXPECT_EQ(machine.slowdown.at("cpu").at("disk_read"), 2.0);
  EXPECT_EQ(machine.slowdown.at("cpu").at("disk_write"), 2.0);
  EXPECT_THAT(machine.measured_at, testing::MatchesRegex("20..-..-..T..:..:..Z"));
  const Machine again = parse_machine(machine_json(machine), "m.json");
  EXPECT_EQ(machine_json(again), machine_json(machine));
  EXPECT_THAT(describe(machine), HasSubstr("GFLOP/s"));
}

TEST(Doctor, EveryFailedCheckHasARemedy) {
  const Folder folder;
  for (const std::string& place : {folder.path, std::string("/no/such/folder")}) {
    const std::vector<Check> checks = run_doctor(place);
    EXPECT_EQ(checks.size(), 10u);
    for (const Check& check : checks) {
      EXPECT_FALSE(check.check.empty() || check.detail.empty());
      EXPECT_EQ(check.ok, check.remedy.empty()) << check.check;
    }
    EXPECT_THAT(describe(checks), HasSubstr("io_uring"));
  }
  for (const Check& check : run_doctor("/no/such/folder"))
    EXPECT_FALSE(check.ok && (check.check == "disk" || check.check == "direct I/O"));
}

}  // namespace
}  // namespace outsize
