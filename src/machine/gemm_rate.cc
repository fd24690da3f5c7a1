#include "machine/gemm_rate.h"

#include <chrono>
#include <dnnl.hpp>
#include <vector>

#include "core/error.h"
#include "core/ordinary_numbers.h"
#include "core/parallel.h"
#include "machine/host.h"

namespace outsize {
namespace {

using dnnl::memory;
using Clock = std::chrono::steady_clock;

constexpr int kMinRepeats = 3;
constexpr int kMaxRepeats = 1000;
// Large enough for full speed, small enough for twenty repeats in 0.3 s at 1 TFLOP/s.
constexpr GemmShape kQuickShape{2048, 2048, 2048};

struct GemmTypes {
  memory::data_type x;
  memory::data_type w;
  memory::data_type y;
};

GemmTypes types_of(DType dtype) {
  using Type = memory::data_type;
  switch (dtype) {
    case DType::f32:
      return {Type::f32, Type::f32, Type::f32};
    case DType::bf16:
      return {Type::bf16, Type::bf16, Type::f32};
    case DType::u8:
      return {Type::u8, Type::s8, Type::s32};
    default:
      fail(ErrorKind::InvalidArgument, "[gemm] no rate for '{}'; expected f32, bf16 or u8",
           name_of(dtype));
  }
}

// Bytes stand for i8, too.
void fill(DType dtype, const memory& data) {
  fill_ordinary(dtype, static_cast<std::int64_t>(data.get_desc().get_size()) / size_of(dtype),
                data.get_data_handle());
}

// Asked beforehand: where memory is overcommitted, the system ends the process instead of saying
// no.
void check_room(const GemmShape& shape) {
  constexpr double kMaxElementBytes = 4;
  const double m = static_cast<double>(shape.m);
  const double k = static_cast<double>(shape.k);
  const double n = static_cast<double>(shape.n);
  const double bytes = kMaxElementBytes * (m * k + k * n + m * n);
  const std::int64_t available = meminfo_bytes("MemAvailable");
  if (available > 0 && bytes > static_cast<double>(available))
    fail(ErrorKind::OutOfMemory, "[gemm] no room for {}×{}×{}; got {} bytes free; expected {:.0f}",
         shape.m, shape.k, shape.n, available, bytes);
}

[[noreturn]] void fail_for(const dnnl::error& error, const GemmShape& shape) {
  if (error.status == dnnl_out_of_memory)
    fail(ErrorKind::OutOfMemory, "[gemm] no room for {}×{}×{}", shape.m, shape.k, shape.n);
  fail(ErrorKind::Internal, "[gemm] oneDNN failed; got: {}", error.what());
}

// One product with matrices of its own, ready to be repeated.
class Gemm {
 public:
  Gemm(DType dtype, const GemmShape& shape) : shape_(shape) {
    const GemmTypes types = types_of(dtype);
    const auto any = memory::format_tag::any;
    const memory::desc x({shape.m, shape.k}, types.x, any);
    const memory::desc w({shape.k, shape.n}, types.w, any);
    const memory::desc y({shape.m, shape.n}, types.y, memory::format_tag::ab);
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(x, w, y), engine_);
    const memory x_data(chosen.src_desc(), engine_);
    const memory w_data(chosen.weights_desc(), engine_);
    const memory y_data(chosen.dst_desc(), engine_);
    fill(dtype, x_data);
    fill(dtype, w_data);
    arguments_ = {{DNNL_ARG_SRC, x_data}, {DNNL_ARG_WEIGHTS, w_data}, {DNNL_ARG_DST, y_data}};
    matmul_ = dnnl::matmul(chosen);
    run();  // warm
  }

  Rate rate(double seconds) {
    const double flops = 2.0 * static_cast<double>(shape_.m) * static_cast<double>(shape_.k) *
                         static_cast<double>(shape_.n);
    std::vector<double> samples;
    double elapsed = 0;
    while (static_cast<int>(samples.size()) < kMinRepeats ||
           (elapsed < seconds && static_cast<int>(samples.size()) < kMaxRepeats)) {
      const double took = run();
      elapsed += took;
      samples.push_back(flops / took / 1e9);
    }
    return summarise(samples);
  }

 private:
  double run() {
    const auto begin = Clock::now();
    matmul_.execute(stream_, arguments_);
    stream_.wait();
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  GemmShape shape_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul matmul_;
  std::unordered_map<int, memory> arguments_;
};

// Absent where library and processor cannot do the dtype.
std::unique_ptr<Gemm> make_gemm(DType dtype, const GemmShape& shape) {
  check_room(shape);
  thread_count();  // hands the number of threads to the team that oneDNN shares
  try {
    return std::make_unique<Gemm>(dtype, shape);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return nullptr;
    fail_for(error, shape);
  }
}

}  // namespace

std::optional<Rate> measure_gemm(DType dtype, const GemmShape& shape, double seconds) {
  if (shape.m < 1 || shape.k < 1 || shape.n < 1)
    fail(ErrorKind::InvalidArgument, "[gemm] empty shape; got {}×{}×{}; expected sides from 1",
         shape.m, shape.k, shape.n);
  const auto gemm = make_gemm(dtype, shape);
  if (!gemm) return std::nullopt;
  try {
    return gemm->rate(seconds);
  } catch (const dnnl::error& error) {
    fail_for(error, shape);
  }
}

struct GemmMeter::Product {
  std::unique_ptr<Gemm> gemm;
};

GemmMeter::GemmMeter(DType dtype)
    : product_(std::make_unique<Product>(Product{make_gemm(dtype, kQuickShape)})) {}

GemmMeter::~GemmMeter() = default;

double GemmMeter::gflops(double seconds) const {
  if (!product_->gemm) return 0;
  try {
    return product_->gemm->rate(seconds).median;
  } catch (const dnnl::error& error) {
    fail_for(error, kQuickShape);
  }
}

double measure_gemm_gflops(DType dtype, double seconds) {
  return GemmMeter(dtype).gflops(seconds);
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace outsize
