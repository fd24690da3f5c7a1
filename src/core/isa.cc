#include "core/isa.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace outsize {
namespace {

Isa from_environment() {
  const Isa best = best_isa();
  const char* text = std::getenv("OUTSIZE_ISA");
  if (!text) return best;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (std::string_view(text) == name_of(isa) && isa <= best) return isa;
  fail(ErrorKind::InvalidArgument,
       "[OUTSIZE_ISA] not usable here; got '{}'; expected baseline, avx2 or avx512, at most '{}'",
       text, name_of(best));
}

Isa& active() {
  static Isa isa = from_environment();
  return isa;
}

}  // namespace

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::baseline:
      return "baseline";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "baseline";
}

Isa best_isa() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
  return Isa::baseline;
}

Isa active_isa() {
  return active();
}

void set_active_isa(Isa isa) {
  if (isa > best_isa())
    fail(ErrorKind::Unsupported, "[isa] this processor lacks it; got '{}'; expected at most '{}'",
         name_of(isa), name_of(best_isa()));
  active() = isa;
}

}  // namespace outsize
