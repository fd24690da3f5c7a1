// The merge loop shared by every pair-merging tokenizer: among the neighbours that may merge, the
// pair of lowest rank goes first, the leftmost of equal ones. O(n log n) in the number of symbols.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace outsize {

struct MergeSymbol {
  std::uint32_t begin, bytes;  // where it stands in the piece
  TokenId id;                  // -1: no token spells it
};

struct MergeResult {
  static constexpr std::int32_t kNone = std::numeric_limits<std::int32_t>::max();
  std::int32_t rank = kNone;
  TokenId id = -1;
};

class Merger {
 public:
  // Merges `symbols` in place. lookup(left, right) -> MergeResult must depend on the two symbols
  // alone, and equal spellings must give equal ids.
  template <class Lookup>
  void run(std::vector<MergeSymbol>& symbols, const Lookup& lookup) {
    if (symbols.size() < 2) return;
    if (symbols.size() <= kShort) {
      run_short(symbols, lookup);
    } else {
      run_long(symbols, lookup);
    }
  }

 private:
  // Below this a scan of all ranks beats a queue (words have 5 to 15 symbols).
  static constexpr std::size_t kShort = 48;

  struct Candidate {
    std::int32_t rank;
    std::uint32_t left, bytes;
    TokenId id;
    bool operator<(const Candidate& other) const {  // std::push_heap keeps the largest on top
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };

  template <class Lookup>
  void run_short(std::vector<MergeSymbol>& symbols, const Lookup& lookup);
  template <class Lookup>
  void run_long(std::vector<MergeSymbol>& symbols, const Lookup& lookup);

  std::int32_t ranks_[kShort];
  TokenId ids_[kShort];
  std::vector<Candidate> queue_;
  std::vector<std::uint32_t> previous_, next_;
};

template <class Lookup>
void Merger::run_short(std::vector<MergeSymbol>& symbols, const Lookup& lookup) {
  std::size_t pairs = symbols.size() - 1;
  const auto look = [&](std::size_t i) {
    const MergeResult result = lookup(symbols[i], symbols[i + 1]);
    ranks_[i] = result.rank;
    ids_[i] = result.id;
  };
  for (std::size_t i = 0; i < pairs; ++i) look(i);
  while (pairs > 0) {
    const std::size_t best = std::min_element(ranks_, ranks_ + pairs) - ranks_;
    if (ranks_[best] == MergeResult::kNone) break;
    symbols[best].bytes += symbols[best + 1].bytes;
    symbols[best].id = ids_[best];
    symbols.erase(symbols.begin() + best + 1);
    std::copy(ranks_ + best + 1, ranks_ + pairs, ranks_ + best);
    std::copy(ids_ + best + 1, ids_ + pairs, ids_ + best);
    --pairs;
    if (best > 0) look(best - 1);
    if (best < pairs) look(best);
  }
}

template <class Lookup>
void Merger::run_long(std::vector<MergeSymbol>& symbols, const Lookup& lookup) {
  const auto count = static_cast<std::uint32_t>(symbols.size());
  previous_.resize(count);
  next_.resize(count);
  queue_.clear();
  const auto offer = [&](std::uint32_t left, std::uint32_t right) {
    const MergeResult result = lookup(symbols[left], symbols[right]);
    if (result.rank == MergeResult::kNone) return false;
    queue_.push_back({result.rank, left, symbols[left].bytes + symbols[right].bytes, result.id});
    return true;
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    previous_[i] = i - 1;  // the first one's is never followed
    next_[i] = i + 1;
    if (i + 1 < count) offer(i, i + 1);
  }
  std::make_heap(queue_.begin(), queue_.end());
  while (!queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end());
    const Candidate top = queue_.back();
    queue_.pop_back();
    const std::uint32_t left = top.left, right = next_[left];
    // Stale when either side has merged since: the spelling, hence its length, differs.
    if (symbols[left].bytes == 0 || right == count ||
        symbols[left].bytes + symbols[right].bytes != top.bytes) {
      continue;
    }
    symbols[left].bytes = top.bytes;
    symbols[left].id = top.id;
    symbols[right].bytes = 0;
    next_[left] = next_[right];
    if (next_[left] < count) previous_[next_[left]] = left;
    if (left > 0 && offer(previous_[left], left)) std::push_heap(queue_.begin(), queue_.end());
    if (next_[left] < count && offer(left, next_[left])) {
      std::push_heap(queue_.begin(), queue_.end());
    }
  }
  std::erase_if(symbols, [](const MergeSymbol& symbol) { return symbol.bytes == 0; });
}

}  // namespace outsize
