#include "tokenizer/token_trie.h"

namespace outsize {

namespace {

std::uint64_t edge_key(std::int32_t node, char byte) {
  return static_cast<std::uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
}

}  // namespace

TokenTrie::TokenTrie() : edges_(16) {
  first_.fill(kNone);
}

std::size_t TokenTrie::slot_of(std::int32_t node, char byte) const {
  const std::uint64_t key = edge_key(node, byte);
  const std::size_t mask = edges_.size() - 1;
  std::size_t slot = (key * 0x9E3779B97F4A7C15ull >> 32) & mask;
  while (edges_[slot].child != kNone && edges_[slot].key != key) slot = (slot + 1) & mask;
  return slot;
}

std::int32_t TokenTrie::new_node() {
  values_.push_back(kNone);
  return static_cast<std::int32_t>(values_.size() - 1);
}

void TokenTrie::grow() {
  std::vector<Edge> old(edges_.size() * 2);
  old.swap(edges_);
  for (const Edge& edge : old) {
    if (edge.child == kNone) continue;
    edges_[slot_of(static_cast<std::int32_t>(edge.key >> 8), static_cast<char>(edge.key))] = edge;
  }
}

void TokenTrie::add(std::string_view token, std::int32_t value) {
  if (token.empty()) return;
  std::int32_t& first = first_[static_cast<unsigned char>(token[0])];
  if (first == kNone) first = new_node();
  std::int32_t node = first;
  for (const char byte : token.substr(1)) {
    std::size_t slot = slot_of(node, byte);
    if (edges_[slot].child == kNone) {
      edges_[slot] = {edge_key(node, byte), new_node()};
      if (++edge_count_ * 2 > edges_.size()) grow();
      slot = slot_of(node, byte);
    }
    node = edges_[slot].child;
  }
  values_[node] = value;
}

}  // namespace outsize
