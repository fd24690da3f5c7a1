// `outsize doctor`: is this computer ready, and what to do where it is not.
#pragma once

#include <string>
#include <vector>

namespace outsize {

struct Check {
  std::string check;   // what was looked at
  bool ok = false;     // false: works, but worse than it could, or not at all; `remedy` says how
  std::string detail;  // what was found
  std::string remedy;  // empty when ok
};

// Looks at processor, threads, oneDNN, memory, huge pages, limits, io_uring, and at the disk of
// `folder`. Never throws for what it finds; a folder that cannot be examined is a failed check.
std::vector<Check> run_doctor(const std::string& folder);

// One line per check, remedies indented below.
std::string describe(const std::vector<Check>& checks);

}  // namespace outsize
