// What a computer can do: measured rates and capacities of its resources. `outsize profile` writes
// it to machine.json (docs/MACHINE.md); a machine nobody here owns can be written by hand.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace outsize {

// A measured rate and how far its repeats spread. 0 < p10 <= median <= p90.
struct Rate {
  double median = 0;
  double p10 = 0;  // a tenth of the repeats was slower
  double p90 = 0;  // a tenth was faster
};

// Median and percentiles of positive samples, nearest rank; at least one sample.
Rate summarise(std::span<const double> samples);

// y[m,n] = x[m,k] · w[k,n], the unit of every compute rate.
struct GemmShape {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
};

// How the operands lie: packed is the library's own layout, the top speed; the others are those of
// training, plain rows, transposed where a `t` stands; tn+ adds to what is there.
enum class GemmForm { packed, nt, nn, tn, tn_add };
const char* name_of(GemmForm form);
constexpr std::array<GemmForm, 5> kGemmForms = {GemmForm::packed, GemmForm::nt, GemmForm::nn,
                                                GemmForm::tn, GemmForm::tn_add};

struct GemmRate {
  DType dtype = DType::f32;  // f32, bf16, or u8 for int8 (u8 · i8 → i32)
  GemmShape shape;
  Rate gflops;  // 2·m·k·n operations
  GemmForm form = GemmForm::packed;
};

// One operation at one size.
struct OpPoint {
  double work = 0;   // of the op's own unit, that its time grows with; > 0
  double bytes = 0;  // read and written
  double seconds = 0;
};

// How an operation's time grows with its work. What names and units mean is the measurer's
// (src/costs); a machine only keeps them.
struct OpRate {
  std::string op;               // "rms_norm", "update adamw"
  std::string variant;          // dtype, and what else makes another kernel of it: "bf16 kind=1"
  std::int64_t width = 0;       // elements of a row
  std::vector<OpPoint> points;  // work and seconds ascend
};

// One call of an operation at a run's own sizes, in a step of its model.
struct CallTime {
  std::string call;  // operation, attributes and types, as the measurer writes them
  double seconds = 0;
};

struct CpuMachine {
  std::string model;
  int cores = 0;    // this process may use
  std::string isa;  // baseline, avx2 or avx512
  // The best shape's rate of a dtype; absent: the processor or the library cannot.
  std::optional<Rate> gemm_f32_gflops;
  std::optional<Rate> gemm_bf16_gflops;
  std::optional<Rate> gemm_int8_gflops;
  std::vector<GemmRate> gemm_shapes;  // every shape measured
};

// Rates count the bytes a program names, both directions: copy 2 per byte copied, triad
// (a = b + s·c) 3 per element byte. Giga = 1e9.
struct RamMachine {
  std::int64_t total_bytes = 0;
  std::int64_t available_bytes = 0;         // when measured
  std::optional<std::int64_t> limit_bytes;  // of the control group, where there is one
  std::optional<Rate> read_gb_per_second;
  std::optional<Rate> copy_gb_per_second;
  std::optional<Rate> triad_gb_per_second;
};

struct DiskPoint {
  std::string kind;  // read, write, mixed (every second block is written)
  std::int64_t block_bytes = 0;
  int depth = 0;  // blocks in flight
  Rate gb_per_second;
  double latency_seconds = 0;  // median of one block
  double cpu_slowdown = 0;     // of matrix products meanwhile; 0: not measured
};

struct DiskMachine {
  std::string path;         // folder that was measured
  std::string file_system;  // ext4, xfs, tmpfs, nfs, …
  std::string kind;         // local, memory or network
  bool direct = false;      // past the page cache; otherwise the rates flatter the disk
  std::int64_t free_bytes = 0;
  Rate read_gb_per_second;  // sequential, 1 MiB blocks
  Rate write_gb_per_second;
  double latency_seconds = 0;     // of one 4 KiB read, nothing else in flight; 0: unknown
  std::vector<DiskPoint> points;  // by block size, depth and direction
  // What makes the rates untrue or poor ("reads come from a cache"); empty: nothing was found.
  std::vector<std::string> warnings;
};

// An accelerator that is only described: nothing here measures or uses one yet.
struct DeviceMachine {
  std::string model;
  std::int64_t memory_bytes = 0;
  std::optional<Rate> gemm_f32_gflops;
  std::optional<Rate> gemm_bf16_gflops;
  Rate memory_gb_per_second;
};

// Something that moves bytes one way: h2d, d2h, net.
struct LinkMachine {
  Rate gb_per_second;
  double latency_seconds = 0;
};

struct MachineVersions {
  std::string outsize;
  std::string onednn;
  std::string compiler;
  std::string kernel;
};

struct Machine {
  std::string name;
  std::string measured_at;  // UTC, ISO 8601; empty in files written by hand
  CpuMachine cpu;
  RamMachine ram;
  std::optional<DiskMachine> disk;
  std::optional<DeviceMachine> device;
  std::optional<LinkMachine> h2d, d2h, net;
  std::vector<OpRate> ops;
  std::vector<CallTime> calls;  // these go before `ops`
  // slowdown["cpu"]["disk_read"]: how many times longer work of the first resource takes while the
  // second is busy; at least 1. Pairs that are absent do not disturb each other.
  std::map<std::string, std::map<std::string, double>> slowdown;
  MachineVersions versions;

  // The smaller of RAM and control group limit.
  std::int64_t usable_ram_bytes() const;
};

}  // namespace outsize
