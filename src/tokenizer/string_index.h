// Bytes -> id for vocabularies: open addressing over one block of text. Half the memory of a map of
// strings, and a lookup allocates nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace outsize {

class StringIndex {
 public:
  // `count` and `bytes` are hints of what will come.
  explicit StringIndex(std::size_t count = 0, std::size_t bytes = 0);
  // A key given again takes the newer id.
  void insert(std::string_view key, std::int32_t id);
  // -1 when absent.
  std::int32_t find(std::string_view key) const;
  std::size_t size() const { return entries_.size(); }
  // visit(key, id) for every key, in the order of first insertion.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const Entry& entry : entries_) visit(key(entry), entry.id);
  }

 private:
  struct Entry {
    std::uint32_t begin, bytes;
    std::int32_t id;
  };

  std::string_view key(const Entry& entry) const;
  // Slot that holds the key, or the empty one where it belongs.
  std::size_t slot_of(std::string_view key) const;
  void grow(std::size_t slots);

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<std::int32_t> slots_;  // index into entries_, -1 free; size is a power of two
};

}  // namespace outsize
