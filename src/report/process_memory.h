// What this process holds in RAM, as the kernel counts it (proc(5), /proc/self/status).
#pragma once

#include <cstdint>

namespace outsize {

// Resident bytes now (VmRSS); 0 where the kernel does not tell.
std::int64_t rss_bytes();

// Most resident bytes since the process began or the peak was reset (VmHWM); 0 where the kernel
// does not tell.
std::int64_t peak_rss_bytes();

// Starts the peak anew from what is resident now, so that one phase can be measured by itself.
// False where the kernel does not permit it; the peak then still covers everything before.
bool reset_peak_rss();

}  // namespace outsize
