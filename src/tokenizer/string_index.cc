#include "tokenizer/string_index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <limits>

#include "core/error.h"

namespace outsize {

StringIndex::StringIndex(std::size_t count, std::size_t bytes) {
  text_.reserve(bytes);
  entries_.reserve(count);
  grow(std::bit_ceil(2 * count + 16));
}

std::string_view StringIndex::key(const Entry& entry) const {
  return std::string_view(text_).substr(entry.begin, entry.bytes);
}

std::size_t StringIndex::slot_of(std::string_view wanted) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = XXH3_64bits(wanted.data(), wanted.size()) & mask;
  while (slots_[slot] >= 0 && key(entries_[slots_[slot]]) != wanted) slot = (slot + 1) & mask;
  return slot;
}

void StringIndex::grow(std::size_t slots) {
  slots_.assign(slots, -1);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    slots_[slot_of(key(entries_[i]))] = static_cast<std::int32_t>(i);
  }
}

void StringIndex::insert(std::string_view wanted, std::int32_t id) {
  const std::size_t slot = slot_of(wanted);
  if (slots_[slot] >= 0) {
    entries_[slots_[slot]].id = id;
    return;
  }
  if (text_.size() + wanted.size() > std::numeric_limits<std::uint32_t>::max()) {
    fail(ErrorKind::Unsupported, "[tokenizer] vocabulary text exceeds 4 GiB");
  }
  entries_.push_back(
      {static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(wanted.size()), id});
  text_.append(wanted);
  slots_[slot] = static_cast<std::int32_t>(entries_.size() - 1);
  if (entries_.size() * 2 > slots_.size()) grow(slots_.size() * 2);
}

std::int32_t StringIndex::find(std::string_view wanted) const {
  const std::int32_t entry = slots_[slot_of(wanted)];
  return entry < 0 ? -1 : entries_[entry].id;
}

}  // namespace outsize
