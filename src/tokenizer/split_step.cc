#include "tokenizer/split_step.h"

#include <algorithm>
#include <utility>

namespace outsize {

namespace {

struct Cut {
  Span span;
  bool match;
};

void push_cut(std::vector<Cut>& cuts, std::size_t begin, std::size_t end, bool match) {
  if (begin == end) return;
  cuts.push_back({{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)}, match});
}

// Joins each match to a neighbour, walking towards it; a match that follows a match stays alone.
template <class Iterator, class Extend>
std::vector<Span> merge_matches(Iterator first, Iterator last, const Extend& extend) {
  std::vector<Span> spans;
  bool previous_match = false;
  for (; first != last; ++first) {
    if (first->match && !previous_match && !spans.empty()) {
      extend(spans.back(), first->span);
    } else {
      spans.push_back(first->span);
    }
    previous_match = first->match;
  }
  return spans;
}

std::vector<Span> apply_behavior(const std::vector<Cut>& cuts, SplitBehavior behavior) {
  std::vector<Span> spans;
  switch (behavior) {
    case SplitBehavior::Removed:
    case SplitBehavior::Isolated:
      for (const Cut& cut : cuts) {
        if (!cut.match || behavior == SplitBehavior::Isolated) spans.push_back(cut.span);
      }
      break;
    case SplitBehavior::Contiguous:
      for (std::size_t i = 0; i < cuts.size(); ++i) {
        if (i > 0 && cuts[i].match == cuts[i - 1].match) {
          spans.back().end = cuts[i].span.end;
        } else {
          spans.push_back(cuts[i].span);
        }
      }
      break;
    case SplitBehavior::MergedWithPrevious:
      return merge_matches(cuts.begin(), cuts.end(),
                           [](Span& kept, const Span& match) { kept.end = match.end; });
    case SplitBehavior::MergedWithNext:
      spans = merge_matches(cuts.rbegin(), cuts.rend(),
                            [](Span& kept, const Span& match) { kept.begin = match.begin; });
      std::reverse(spans.begin(), spans.end());
      break;
  }
  return spans;
}

}  // namespace

RegexSplit::RegexSplit(Regex regex, SplitBehavior behavior, bool invert)
    : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

void RegexSplit::apply(Pieces& pieces) const {
  std::vector<Span> out;
  std::vector<Cut> cuts;
  for (const Span& piece : pieces.spans) {
    cuts.clear();
    std::size_t done = piece.begin;
    const std::string_view text = pieces.text.substr(piece.begin, piece.end - piece.begin);
    regex_.for_each_match(text, [&](std::size_t begin, std::size_t end) {
      push_cut(cuts, done, piece.begin + begin, invert_);
      push_cut(cuts, piece.begin + begin, piece.begin + end, !invert_);
      done = piece.begin + end;
    });
    push_cut(cuts, done, piece.end, invert_);
    const std::vector<Span> spans = apply_behavior(cuts, behavior_);
    out.insert(out.end(), spans.begin(), spans.end());
  }
  pieces.spans = std::move(out);
}

void KnownSplit::apply(Pieces& pieces) const {
  std::vector<Span> out;
  out.reserve(pieces.text.size() / 4 + 16);
  for (const Span& piece : pieces.spans) split_known(pattern_, peer_, pieces.text, piece, out);
  pieces.spans = std::move(out);
}

}  // namespace outsize
