#include "costs/call_timer.h"

#include <emmintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/ordinary_numbers.h"
#include "core/parallel.h"
#include "core/streaming.h"
#include "ops/ops.h"

namespace outsize {
namespace {

constexpr std::int64_t kRotationBytes = std::int64_t{96} << 20;  // three times a large cache
constexpr int kMaxSets = 8;
constexpr double kEnoughSeconds = 0.01;
constexpr int kMostTurns = 12;
constexpr size_t kHugePage = size_t{2} << 20;  // as an arena asks for
constexpr std::int64_t kLine = 64;
// One turn in so many finds its operands as if they had been written long ago. It counts by the
// share that comes nearest to additions and norms within steps.
constexpr int kStaleEvery = 3;
constexpr double kStaleShare = 0.25;

struct Bytes {
  char* data;
  std::int64_t count;
};

// One of more than `most` bytes is a table: of any values, and much dearer to fill than a launch is
// to time. It lies in `table`, which is filled once.
struct Operands {
  Operands(const OpCall& call, std::int64_t most, TimerMemory& table) {
    const auto add = [&](const ValueType& type) {
      if (type.bytes() > most) {
        if (table.bytes() < type.bytes()) {
          table = TimerMemory(type.bytes());
          std::memset(table.data(), 0, static_cast<size_t>(table.bytes()));
        }
        memory.push_back({table.data(), type.bytes()});
      } else {
        owned_.emplace_back(type.bytes());
        memory.push_back({owned_.back().data(), type.bytes()});
        if (type.dtype != DType::i32)
          fill_ordinary(type.dtype, type.shape.numel(), memory.back().data);
      }
      return memory.back().data;
    };
    for (const ValueType& type : call.inputs) inputs.push_back(add(type));
    for (const ValueType& type : call.outputs) outputs.push_back(add(type));
  }

  std::vector<Bytes> memory;  // of the inputs, then of the outputs
  std::vector<const void*> inputs;
  std::vector<void*> outputs;

 private:
  std::vector<TimerMemory> owned_;
};

// body(line) for every line of a cache, split over the threads as kernels split rows.
template <class Body>
void each_line(const Bytes& memory, Body&& body) {
  const std::int64_t lines = memory.count / kLine;
  const std::int64_t each = (lines + thread_count() - 1) / thread_count();
  parallel_for(lines, each, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(memory.data + i * kLine);
  });
}

// The values stay; they then lie where vector kernels leave what they write if caches are apart,
// and where weights and what was saved lie anyway.
void write_past_caches(const Bytes& memory) {
  each_line(memory, [](char* line) {
    auto* words = reinterpret_cast<__m128i*>(line);
    for (int i = 0; i < 4; ++i) _mm_stream_si128(words + i, _mm_load_si128(words + i));
  });
}

// … or where products do.
void write_through_caches(const Bytes& memory) {
  each_line(memory, [](volatile char* line) { *line = *line; });
}

// … or where attention does, whose threads take heads.
void write_by_heads(const Bytes& memory) {
  constexpr std::int64_t kHeadBytes = 128;
  const std::int64_t heads = memory.count / kHeadBytes, threads = thread_count();
  parallel_for(threads, 1, [&](std::int64_t thread, std::int64_t) {
    for (std::int64_t head = thread; head < heads; head += threads)
      for (std::int64_t at = 0; at < kHeadBytes; at += kLine) {
        volatile char* line = memory.data + head * kHeadBytes + at;
        *line = *line;
      }
  });
}

void read(const Bytes& memory) {
  each_line(memory, [](volatile char* line) { static_cast<void>(*line); });
}

// Other integers each time: rows of a table that were gathered a moment ago would lie in a cache.
void draw_integers(const OpSample& sample, const Operands& operands, int turn) {
  const std::vector<ValueType>& types = sample.call.inputs;
  for (size_t i = 0; i < types.size(); ++i)
    if (types[i].dtype == DType::i32)
      sample.fill(types[i], static_cast<std::uint64_t>(turn),
                  reinterpret_cast<std::int32_t*>(operands.memory[i].data));
}

void leave_as_in_a_step(const OpSample& sample, const Operands& operands, const Bytes& others,
                        bool long_ago) {
  // Where one cache serves all cores, what the op before has left and memory that is written to
  // again and again stay in it: as the last launch left them.
  const bool near = !long_ago && !streams_results();
  for (size_t i = 0; i < operands.memory.size(); ++i) {
    const bool stays = near && (i == 0 || i >= sample.call.inputs.size());
    if (operands.memory[i].count <= others.count && !stays) write_past_caches(operands.memory[i]);
  }
  if (long_ago) read(others);
  if (sample.left == Left::by_product_with_table || sample.left == Left::by_attention_with_table)
    read(operands.memory[1]);
  if (sample.left == Left::by_product_with_table || (sample.left == Left::by_product && !long_ago))
    write_through_caches(operands.memory[0]);
  if (sample.left == Left::by_attention_with_table) write_by_heads(operands.memory[0]);
}

template <class Work>
double seconds_of(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// What others take of the machine now and then is no cost of the work's.
double lower_quartile(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 4];
}

}  // namespace

TimerMemory::TimerMemory(std::int64_t bytes) : bytes_(bytes) {
  const size_t size = (static_cast<size_t>(bytes) + kHugePage) / kHugePage * kHugePage;
  data_ = static_cast<char*>(std::aligned_alloc(kHugePage, size));
  if (data_ == nullptr)
    fail(ErrorKind::OutOfMemory, "[costs] no room to measure; got {} bytes", bytes);
  madvise(data_, size, MADV_HUGEPAGE);  // a hint: failure is harmless
}

TimerMemory::~TimerMemory() {
  std::free(data_);
}

int rotation_sets(std::int64_t bytes) {
  const std::int64_t sets = kRotationBytes / std::max<std::int64_t>(bytes, 1) + 1;
  return static_cast<int>(std::clamp<std::int64_t>(sets, 1, kMaxSets));
}

double time_work(const std::function<void(int turn)>& work, int repeats) {
  std::vector<double> samples;
  double spent = 0;
  // Short work is at the mercy of whatever else wakes: it gets more turns.
  for (int turn = 0; turn <= repeats || (spent < kEnoughSeconds && turn <= kMostTurns); ++turn) {
    const double seconds = seconds_of([&] { work(turn); });
    if (turn == 0) continue;
    samples.push_back(seconds);
    spent += seconds;
  }
  return lower_quartile(std::move(samples));
}

CallTimer::CallTimer(std::int64_t cache_bytes) : others_(cache_bytes), table_(0) {
  std::memset(others_.data(), 0, static_cast<size_t>(others_.bytes()));
}

double CallTimer::seconds(const OpSample& sample, int repeats) {
  const Operands operands(sample.call, others_.bytes(), table_);
  const Bytes others{others_.data(), others_.bytes()};
  const auto kernel = make_kernel(*sample.call.op, sample.call.query());
  const TimerMemory workspace(kernel->workspace_bytes());
  const auto launch = [&] {
    const Status status = kernel->launch({operands.inputs, operands.outputs, workspace.data()});
    ensure(status.ok(), "[costs] op '{}' failed: {}", sample.call.op->name, status.message());
  };
  std::vector<double> fresh, stale;
  double spent = 0;
  for (int turn = 0;
       turn <= std::max(repeats, kStaleEvery) || (spent < kEnoughSeconds && turn <= kMostTurns);
       ++turn) {
    const bool is_stale = turn % kStaleEvery == 0;
    draw_integers(sample, operands, turn);
    leave_as_in_a_step(sample, operands, others, is_stale || sample.left == Left::long_ago);
    const double seconds = seconds_of(launch);
    if (turn == 0) continue;
    (is_stale ? stale : fresh).push_back(seconds);
    spent += seconds;
  }
  const double old = lower_quartile(std::move(stale)), young = lower_quartile(std::move(fresh));
  return young + (old - young) * kStaleShare;
}

}  // namespace outsize
