// Finds whole tokens (special and added ones) inside text. A position whose byte starts no token
// costs one table look-up.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace outsize {

class TokenTrie {
 public:
  TokenTrie();
  // An empty token is ignored; one added again takes the newer value. value >= 0.
  void add(std::string_view token, std::int32_t value);
  bool empty() const { return values_.empty(); }

  // The next position >= at where a token may start; text.size() when there is none.
  std::size_t next_candidate(std::string_view text, std::size_t at) const {
    while (at < text.size() && first_[static_cast<unsigned char>(text[at])] == kNone) ++at;
    return at;
  }

  // visit(bytes, value) for every token that starts at `at`, shortest first.
  template <class Visit>
  void match(std::string_view text, std::size_t at, const Visit& visit) const {
    std::int32_t node = first_[static_cast<unsigned char>(text[at])];
    for (std::size_t end = at + 1; node != kNone; ++end) {
      if (values_[node] != kNone) visit(end - at, values_[node]);
      if (end == text.size()) return;
      node = edges_[slot_of(node, text[end])].child;
    }
  }

 private:
  static constexpr std::int32_t kNone = -1;
  struct Edge {
    std::uint64_t key = 0;  // parent and byte
    std::int32_t child = kNone;
  };

  std::size_t slot_of(std::int32_t node, char byte) const;
  std::int32_t new_node();
  void grow();

  std::array<std::int32_t, 256> first_;
  std::vector<Edge> edges_;  // open addressing; size is a power of two
  std::size_t edge_count_ = 0;
  std::vector<std::int32_t> values_;  // by node
};

}  // namespace outsize
