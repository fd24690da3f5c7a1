// Files and the state store against the disk: GB/s of plain requests by engine, block and depth,
// then of whole steps of both layouts, durable each. Compare within one run only: disks differ by
// the minute. Files lie in TMPDIR; choose a folder on the disk that is meant. The CPU column is of
// the calling thread.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "storage/aligned_buffer.h"
#include "storage/checksum.h"
#include "storage/real_disk.h"
#include "storage/store.h"

namespace outsize {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr std::uint64_t kFileBytes = 256 * kMiB;
constexpr std::uint64_t kRequestBytes = 32 * kMiB;  // about one segment's state

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "outsize-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Bytes that no disk compresses.
void fill(AlignedBuffer& memory) {
  std::uint64_t x = 1;
  for (std::uint64_t i = 0; i < memory.size(); i += 8) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    std::memcpy(memory.data() + i, &x, 8);
  }
}

void set_rate(benchmark::State& state, std::uint64_t bytes) {
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(bytes) * static_cast<double>(state.iterations()) / 1e9,
                         benchmark::Counter::kIsRate);
}

// Goes over the whole file once, two requests in flight.
bool sweep(AsyncFile& file, AlignedBuffer& memory, bool write) {
  bool good = true;
  IoTicket before{};
  for (std::uint64_t at = 0; at < kFileBytes; at += kRequestBytes) {
    std::byte* half = memory.data() + at / kRequestBytes % 2 * kRequestBytes;
    const IoTicket ticket =
        write ? file.write(at, half, kRequestBytes) : file.read(at, half, kRequestBytes);
    if (at > 0) good = file.wait(before).ok() && good;
    before = ticket;
  }
  return file.wait(before).ok() && good;
}

// Arguments: uring, direct, KiB per block, depth, registered, write.
void requests(benchmark::State& state) {
  const Folder folder;
  const auto disk = make_real_disk({state.range(0) != 0, state.range(1) != 0});
  const QueueOptions queue{.block_bytes = static_cast<std::uint64_t>(state.range(2)) * 1024,
                           .depth = static_cast<int>(state.range(3))};
  AsyncFile file(disk->create(folder.path() + "/file"), queue);
  AlignedBuffer memory(2 * kRequestBytes);
  fill(memory);
  if (state.range(4) != 0 && !file.register_memory(memory.span()))
    return state.SkipWithError("memory cannot be registered");
  const bool write = state.range(5) != 0;
  // The first pass gives the file its extents.
  if (!file.allocate(kFileBytes).ok() || !sweep(file, memory, true) || !file.sync().ok())
    return state.SkipWithError("cannot prepare the file");
  for (auto _ : state)
    if (!sweep(file, memory, write)) return state.SkipWithError("the disk refused");
  set_rate(state, kFileBytes);
}

StoreLayout bench_layout(StoreScheme scheme) {
  StoreLayout layout;
  layout.scheme = scheme;
  for (std::uint64_t g = 0; g < kFileBytes / kRequestBytes; ++g)
    layout.groups.push_back({std::to_string(g), {{"state", kRequestBytes}}, {kMiB}});
  return layout;
}

bool write_part(StateStore& store, int group, int extent, AlignedBuffer& memory,
                std::uint64_t bytes) {
  return store.wait(store.write({group, extent, 0, bytes}, memory.data())).ok();
}

// One step that writes every group; in the ring a log of 1/32 of the state before it.
bool durable_step(StateStore& store, AlignedBuffer& memory, bool ring, std::int64_t step) {
  const int groups = static_cast<int>(store.layout().groups.size());
  for (int g = 0; ring && step > 0 && g < groups; ++g)
    if (!write_part(store, g, kLogExtent, memory, kMiB)) return false;
  if (ring && step > 0 && !store.seal_log(step, {}).ok()) return false;
  for (int g = 0; g < groups; ++g)
    if (!write_part(store, g, 0, memory, kRequestBytes) || !store.finish_group(g).ok())
      return false;
  return store.commit(step, {}).ok();
}

// Argument: 1 two slots, 2 ring. Bytes of state only.
void store_steps(benchmark::State& state) {
  const Folder folder;
  const auto disk = make_real_disk();
  const auto scheme = static_cast<StoreScheme>(state.range(0));
  const bool ring = scheme == StoreScheme::ring;
  const auto store = StateStore::create(*disk, folder.path(), bench_layout(scheme), {});
  AlignedBuffer memory(kRequestBytes);
  fill(memory);
  std::int64_t step = 0;
  while (step < 3)  // both slots have their extents
    if (!durable_step(*store, memory, ring, step++)) return state.SkipWithError("refused");
  for (auto _ : state)
    if (!durable_step(*store, memory, ring, step++)) return state.SkipWithError("refused");
  set_rate(state, kFileBytes);
}

void store_reads(benchmark::State& state) {
  const Folder folder;
  const auto disk = make_real_disk();
  const auto layout = bench_layout(StoreScheme::two_slots);
  const auto store = StateStore::create(*disk, folder.path(), layout, {});
  AlignedBuffer memory(kRequestBytes);
  fill(memory);
  if (!durable_step(*store, memory, false, 0)) return state.SkipWithError("refused");
  for (auto _ : state)
    for (int g = 0; g < static_cast<int>(layout.groups.size()); ++g)
      if (!store->wait(store->read({g, 0, 0, kRequestBytes}, memory.data())).ok())
        return state.SkipWithError("refused");
  set_rate(state, kFileBytes);
}

void checksums(benchmark::State& state) {
  AlignedBuffer memory(kRequestBytes);
  fill(memory);
  for (auto _ : state)
    for (std::uint64_t at = 0; at < memory.size(); at += kMiB)
      benchmark::DoNotOptimize(checksum(memory.data() + at, kMiB));
  set_rate(state, kRequestBytes);
}

void all_requests(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"uring", "direct", "KiB", "depth", "registered", "write"});
  for (const int write : {0, 1}) {
    for (const int kib : {256, 1024, 4096})
      for (const int depth : {2, 8, 16}) bench->Args({1, 1, kib, depth, 1, write});
    bench->Args({1, 1, 1024, 16, 0, write});
    bench->Args({1, 0, 1024, 16, 0, write});
    bench->Args({0, 1, 1024, 16, 0, write});
    bench->Args({0, 0, 1024, 16, 0, write});
  }
}

BENCHMARK(checksums)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(requests)->Apply(all_requests)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(store_steps)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(store_reads)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace outsize

BENCHMARK_MAIN();
