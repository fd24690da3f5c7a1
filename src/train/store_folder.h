// Where the state of a run lies that is on disk: RUN/store, a folder, or a link to one on another
// disk (budget.disk).
#pragma once

#include <string>

#include "config/run_config.h"

namespace outsize {

// Its path, whether or not it is there. Throws Io when it is a link to nothing: the disk is not
// mounted, and whoever took that for a run without a store would begin it anew.
std::string store_folder(const std::string& run_folder);

// Makes the link where budget.disk asks for one and the run has no store yet. Throws Io.
void link_store_folder(const RunConfig& config);

}  // namespace outsize
