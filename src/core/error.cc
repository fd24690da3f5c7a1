#include "core/error.h"

namespace outsize {

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::InvalidArgument:
      return "InvalidArgument";
    case ErrorKind::Unsupported:
      return "Unsupported";
    case ErrorKind::OutOfMemory:
      return "OutOfMemory";
    case ErrorKind::Io:
      return "Io";
    case ErrorKind::Corruption:
      return "Corruption";
    case ErrorKind::Device:
      return "Device";
    case ErrorKind::Comm:
      return "Comm";
    case ErrorKind::Internal:
      return "Internal";
  }
  return "Internal";
}

Error::Error(ErrorKind kind, const std::string& message)
    : std::runtime_error(message), kind_(kind) {}

}  // namespace outsize
