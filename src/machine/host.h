// What the operating system tells about this computer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outsize {

// Contents of a small file of /proc or /sys (whose size says 0); empty when it cannot be read.
std::string read_pseudo_file(const std::string& path);

// "AMD EPYC …" from /proc/cpuinfo; "unknown" where it is not told.
std::string cpu_model();
// Processors of the machine, and those this process may run on.
int online_cores();
int usable_cores();

// A "Name:  123 kB" line of /proc/meminfo in bytes; 0 when absent.
std::int64_t meminfo_bytes(std::string_view name);

// The tightest memory limit of this process's control groups, version 1 or 2; empty without one.
std::optional<std::int64_t> control_group_limit();
// The same with the pieces given: text of /proc/self/cgroup, and where the hierarchies are mounted.
std::optional<std::int64_t> control_group_limit(std::string_view groups, const std::string& mount);

// "Linux 6.1.0"
std::string kernel_version();

}  // namespace outsize
