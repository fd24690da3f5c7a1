// Shows samples as they will be trained: the text behind the ids, what is masked, special tokens
// made visible. For people, before a run; masks that are wrong show here and nowhere else.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.h"

namespace outsize {

struct PreviewStyle {
  // Terminal colours (masked dim, trained bold); without, masked text stands in ⟦ ⟧.
  bool ansi = false;
};

// The first `count` samples in the order of the first epoch, each with its place, positions and
// targets; then the totals of the data set and the share of the rows that packing fills. Bytes that
// are not printable are written as \xNN, so nothing in the data can command the terminal.
// Throws as Dataset::load.
std::string preview(const Dataset& dataset, std::int64_t count, const PreviewStyle& style);

// As above for a data set not yet opened. Throws as Dataset::open.
std::string preview(const DataOptions& options, const Tokenizer& tokenizer, std::int64_t count,
                    const PreviewStyle& style);

}  // namespace outsize
