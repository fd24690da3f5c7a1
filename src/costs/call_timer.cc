#include "costs/call_timer.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/half.h"
#include "core/rng.h"
#include "ops/ops.h"

namespace outsize {
namespace {

constexpr std::int64_t kRotationBytes = std::int64_t{96} << 20;  // three times a large cache
constexpr int kMaxSets = 8;
constexpr double kEnoughSeconds = 0.01;
constexpr int kMostTurns = 15;

// Ordinary numbers: zeros and denormals can run at another speed.
template <class T, class Make>
void fill_with(char* data, std::int64_t count, Make&& make) {
  constexpr std::int64_t kPeriod = 4093;  // a prime: rows do not repeat
  const Rng random(1, 0);
  auto* values = reinterpret_cast<T*>(data);
  for (std::int64_t i = 0; i < std::min(count, kPeriod); ++i)
    values[i] = make(static_cast<float>(random.uniform(static_cast<std::uint64_t>(i)) + 0.1));
  for (std::int64_t done = kPeriod; done < count; done *= 2)
    std::memcpy(values + done, values,
                static_cast<size_t>(std::min(done, count - done)) * sizeof(T));
}

void fill_floats(const ValueType& type, char* data) {
  const std::int64_t count = type.shape.numel();
  if (type.dtype == DType::bf16)
    fill_with<bf16>(data, count, [](float value) { return to_bf16(value); });
  else if (type.dtype == DType::f64)
    fill_with<double>(data, count, [](float value) { return static_cast<double>(value); });
  else
    fill_with<float>(data, count, [](float value) { return value; });
}

struct Operands {
  std::vector<TimerMemory> memory;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
};

Operands make_operands(const OpCall& call) {
  Operands operands;
  for (const ValueType& type : call.inputs) {
    operands.memory.emplace_back(type.bytes());
    char* data = operands.memory.back().data();
    if (type.dtype != DType::i32) fill_floats(type, data);
    operands.inputs.push_back(data);
  }
  for (const ValueType& type : call.outputs) {
    operands.memory.emplace_back(type.bytes());
    operands.outputs.push_back(operands.memory.back().data());
    std::memset(operands.outputs.back(), 0, static_cast<size_t>(type.bytes()));
  }
  return operands;
}

// Other integers each time: rows of a table that were gathered a moment ago would lie in a cache.
void draw_integers(const OpCall& call, const FillIntegers& fill, const Operands& operands,
                   int turn) {
  for (size_t i = 0; i < call.inputs.size(); ++i)
    if (call.inputs[i].dtype == DType::i32)
      fill(call.inputs[i], static_cast<std::uint64_t>(turn),
           static_cast<std::int32_t*>(const_cast<void*>(operands.inputs[i])));
}

}  // namespace

TimerMemory::TimerMemory(std::int64_t bytes) {
  const auto size = static_cast<size_t>((bytes + 127) / 64 * 64);
  data_ = static_cast<char*>(std::aligned_alloc(64, size));
  if (data_ == nullptr)
    fail(ErrorKind::OutOfMemory, "[costs] no room to measure; got {} bytes", bytes);
}

TimerMemory::~TimerMemory() {
  std::free(data_);
}

int rotation_sets(std::int64_t bytes) {
  const std::int64_t sets = kRotationBytes / std::max<std::int64_t>(bytes, 1) + 1;
  return static_cast<int>(std::clamp<std::int64_t>(sets, 1, kMaxSets));
}

double time_work(const std::function<void(int turn)>& work, int repeats,
                 const std::function<void(int turn)>& prepare) {
  std::vector<double> samples;
  double spent = 0;
  // Short work is at the mercy of whatever else wakes: it gets more turns.
  for (int turn = 0; turn <= repeats || (spent < kEnoughSeconds && turn <= kMostTurns); ++turn) {
    if (prepare) prepare(turn);
    const auto begin = std::chrono::steady_clock::now();
    work(turn);
    const auto end = std::chrono::steady_clock::now();
    if (turn == 0) continue;
    samples.push_back(std::chrono::duration<double>(end - begin).count());
    spent += samples.back();
  }
  std::sort(samples.begin(), samples.end());
  // The lower quartile: what others take of the machine now and then is no cost of the op's.
  return samples[samples.size() / 4];
}

double time_call(const OpCall& call, const FillIntegers& fill, int repeats) {
  std::int64_t bytes = 0;
  for (const auto* types : {&call.inputs, &call.outputs})
    for (const ValueType& type : *types) bytes += type.bytes();
  std::vector<Operands> sets;
  for (int i = rotation_sets(bytes); i > 0; --i) sets.push_back(make_operands(call));
  const auto kernel = make_kernel(*call.op, call.query());
  const TimerMemory workspace(kernel->workspace_bytes());
  const auto set_of = [&](int turn) -> const Operands& {
    return sets[static_cast<size_t>(turn) % sets.size()];
  };
  return time_work(
      [&](int turn) {
        const Operands& operands = set_of(turn);
        const Status status = kernel->launch({operands.inputs, operands.outputs, workspace.data()});
        ensure(status.ok(), "[costs] op '{}' failed: {}", call.op->name, status.message());
      },
      repeats, [&](int turn) { draw_integers(call, fill, set_of(turn), turn); });
}

}  // namespace outsize
