// Pieces moved by io_uring: no thread of ours, no copy where the file is open for direct I/O.
#pragma once

#include <memory>
#include <string>

#include "storage/disk.h"

namespace outsize {

// nullptr with a reason where the kernel refuses io_uring (old, or forbidden in a container).
std::unique_ptr<PieceMover> make_uring_mover(int descriptor, int depth, std::string& reason);

}  // namespace outsize
