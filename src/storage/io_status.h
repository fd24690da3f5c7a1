// What an operation on a file comes back with. Plain data: the hot path neither throws nor
// allocates; whoever shows it to a user turns it into a typed Error (io_error).
#pragma once

#include <cstdint>
#include <string>

#include "core/error.h"

namespace outsize {

enum class IoCode : std::uint8_t {
  ok,
  no_space,  // the disk is full; nothing is lost, the same call may be tried again
  io,        // the operating system refused; the same call may be tried again
  corrupt,   // bytes came back that were never written
  invalid,   // the caller's mistake: range, alignment, order of calls
  busy,      // the caller's mistake: more requests than tickets; wait for one first
  failed,    // a sync or the system's write-back failed: nobody knows what is on disk; open again
};

const char* name_of(IoCode code);

struct [[nodiscard]] IoStatus {
  IoCode code = IoCode::ok;
  int error = 0;             // errno where the system gave one
  std::uint64_t offset = 0;  // of the request, bytes from the start of the file
  std::uint64_t bytes = 0;   // of the request
  bool ok() const { return code == IoCode::ok; }
};

// no_space for ENOSPC and EDQUOT, io for the rest. `error` > 0.
IoCode code_of_errno(int error);

// The Error for a status that is not ok: Corruption, InvalidArgument for the caller's mistakes,
// otherwise Io; with file, range and what to do.
Error io_error(const IoStatus& status, const std::string& path, const char* action);

}  // namespace outsize
