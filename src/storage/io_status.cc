#include "storage/io_status.h"

#include <cstring>

#include "core/room.h"

namespace outsize {
namespace {

const char* remedy_of(IoCode code) {
  switch (code) {
    case IoCode::no_space:
      return "free some space, then go on";
    case IoCode::failed:
      return "stop and start again; the run resumes from its last finished step";
    case IoCode::invalid:
    case IoCode::busy:
      return "report this: it is a mistake of the program";
    default:
      return "look at the kernel's log for errors of the disk";
  }
}

ErrorKind kind_of(IoCode code) {
  if (code == IoCode::corrupt) return ErrorKind::Corruption;
  if (code == IoCode::invalid || code == IoCode::busy) return ErrorKind::InvalidArgument;
  return ErrorKind::Io;
}

}  // namespace

const char* name_of(IoCode code) {
  switch (code) {
    case IoCode::ok:
      return "ok";
    case IoCode::no_space:
      return "no space left";
    case IoCode::io:
      return "input/output error";
    case IoCode::corrupt:
      return "damaged bytes";
    case IoCode::invalid:
      return "invalid request";
    case IoCode::busy:
      return "too many requests";
    case IoCode::failed:
      return "failed earlier";
  }
  return "unknown";
}

IoCode code_of_errno(int error) {
  return is_no_space(error) ? IoCode::no_space : IoCode::io;
}

Error io_error(const IoStatus& status, const std::string& path, const char* action) {
  const char* reason = status.error != 0 ? std::strerror(status.error) : name_of(status.code);
  return Error(kind_of(status.code),
               fmt::format("[{}] cannot {} {} bytes at offset {}; got: {}; try: {}", path, action,
                           status.bytes, status.offset, reason, remedy_of(status.code)));
}

}  // namespace outsize
