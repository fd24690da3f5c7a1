#include "core/isa.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace outsize {
namespace {

constexpr Isa kIsas[] = {Isa::baseline, Isa::avx2, Isa::avx512, Isa::amx};

// Tiles are saved with a thread only after its process has asked for them, once (Linux 5.16).
bool may_use_tiles() {
#ifdef SYS_arch_prctl
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

Isa from_environment() {
  const Isa best = best_isa();
  const char* text = std::getenv("OUTSIZE_ISA");
  if (!text) return best;
  for (Isa isa : kIsas)
    if (std::string_view(text) == name_of(isa) && isa <= best) return isa;
  fail(ErrorKind::InvalidArgument,
       "[OUTSIZE_ISA] not usable here; got '{}'; expected baseline, avx2, avx512 or amx, at most "
       "'{}'",
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
    case Isa::amx:
      return "amx";
  }
  return "baseline";
}

Isa best_isa() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16")) {
    const bool tiles = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16");
    return tiles && may_use_tiles() ? Isa::amx : Isa::avx512;
  }
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
