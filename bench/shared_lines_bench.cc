// What it costs to write over memory, by which thread's caches hold it: why vector kernels send
// large results past the caches (core/streaming.h). Two threads, each writing a half; on cores that
// share one last-level cache all lines are alike, on two core groups those that both have read take
// many times as long.
//   OMP_PROC_BIND=true bench_shared_lines --benchmark_repetitions=5
#include <benchmark/benchmark.h>
#include <immintrin.h>
#include <omp.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

constexpr std::int64_t kEvictBytes = std::int64_t{64} << 20;  // per thread; more than its caches
constexpr int kThreads = 2;

enum Held { by_nobody, by_its_writer, by_both };

struct Memory {
  explicit Memory(std::int64_t bytes)
      : data(static_cast<char*>(std::aligned_alloc(2 << 20, static_cast<size_t>(bytes))),
             std::free) {
    madvise(data.get(), static_cast<size_t>(bytes), MADV_HUGEPAGE);
    std::memset(data.get(), 1, static_cast<size_t>(bytes));
  }
  std::unique_ptr<char, void (*)(void*)> data;
};

std::int64_t read_lines(const char* from, std::int64_t bytes) {
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < bytes; i += 64) sum += from[i];
  return sum;
}

template <class Body>
void on_both(Body&& body) {
#pragma omp parallel num_threads(kThreads)
  body(omp_get_thread_num());
}

void hold(Held held, const char* data, std::int64_t half, const char* other_memory) {
  on_both([&](int thread) {
    std::int64_t sum = read_lines(other_memory + thread * kEvictBytes, kEvictBytes);
    benchmark::DoNotOptimize(sum);
  });
  on_both([&](int thread) {
    std::int64_t sum = 0;
    if (held != by_nobody) sum += read_lines(data + thread * half, half);
    if (held == by_both) sum += read_lines(data + (1 - thread) * half, half);
    benchmark::DoNotOptimize(sum);
  });
}

void write(char* to, std::int64_t bytes, bool past_caches) {
  const __m128i value = _mm_set1_epi32(7);
  auto* vectors = reinterpret_cast<__m128i*>(to);
  if (past_caches)
    for (std::int64_t i = 0; i < bytes / 16; ++i) _mm_stream_si128(vectors + i, value);
  else
    for (std::int64_t i = 0; i < bytes / 16; ++i) _mm_store_si128(vectors + i, value);
  _mm_sfence();
}

void write_over(benchmark::State& state) {
  const std::int64_t half = state.range(0) << 20;
  const auto held = static_cast<Held>(state.range(1));
  const bool past_caches = state.range(2) != 0;
  const Memory memory(half * kThreads), evict(kEvictBytes * kThreads);
  for (auto _ : state) {
    hold(held, memory.data.get(), half, evict.data.get());
    const auto start = std::chrono::steady_clock::now();
    on_both([&](int thread) { write(memory.data.get() + thread * half, half, past_caches); });
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  state.SetBytesProcessed(state.iterations() * half * kThreads);
}

BENCHMARK(write_over)
    ->ArgNames({"MiB", "held", "past_caches"})
    ->ArgsProduct({{2}, {by_nobody, by_its_writer, by_both}, {0, 1}})
    ->UseManualTime()
    ->MinTime(0.01);

}  // namespace

BENCHMARK_MAIN();
