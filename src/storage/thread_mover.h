// Pieces moved by a few threads with pread and pwrite: where there is no io_uring. Same results.
#pragma once

#include <memory>

#include "storage/disk.h"

namespace outsize {

std::unique_ptr<PieceMover> make_thread_mover(int descriptor, int depth);

}  // namespace outsize
