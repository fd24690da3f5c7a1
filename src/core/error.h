// Typed errors. User input never trips an assertion: it ends in an Error whose kind says whose
// fault it is and whose message reads `[where] what; got …; expected …; try …`. Exceptions are for
// set-up and the public API; kernels and workers return Status (core/status.h).
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace outsize {

enum class ErrorKind {
  InvalidArgument,  // the caller's or user's input is wrong
  Unsupported,      // valid, but not built (yet)
  OutOfMemory,      // a tier's budget does not hold what was asked
  Io,               // the operating system refused
  Corruption,       // a file is damaged or not what it claims to be
  Device,           // an accelerator failed
  Comm,             // another process failed
  Internal,         // our bug
};

const char* name_of(ErrorKind kind);

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message);
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// Throws Error(kind, formatted message).
template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

// For invariants of our own: throws Internal, never for user input.
template <class... Args>
void ensure(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition)
    throw Error(ErrorKind::Internal, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace outsize
