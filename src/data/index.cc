#include "data/index.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cstddef>
#include <filesystem>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace outsize {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the index is written as it lies in memory");

constexpr std::uint64_t kMagic = 0x315844495a53544fu;  // "OTSZIDX1"
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

struct IndexFooter {
  std::uint64_t magic = kMagic;
  std::uint64_t key = 0;
  DataTotals totals;
  std::uint64_t content_hash = 0;
  std::uint64_t footer_hash = 0;  // of the bytes before it
};
static_assert(std::has_unique_object_representations_v<IndexFooter>);

std::uint64_t footer_hash(const IndexFooter& footer) {
  return hash_bytes(&footer, offsetof(IndexFooter, footer_hash), 0);
}

std::uint64_t hash_entries(const File& file, std::uint64_t bytes) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  std::vector<char> block(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kReadBytes)));
  for (std::uint64_t at = 0; at < bytes; at += block.size()) {
    block.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bytes - at, kReadBytes)));
    file.read_at(at, block.data(), block.size());
    XXH3_64bits_update(&state, block.data(), block.size());
  }
  return XXH3_64bits_digest(&state);
}

}  // namespace

std::uint64_t hash_bytes(const void* data, std::size_t bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(data, bytes, seed);
}

std::optional<DataIndex> DataIndex::open(const std::string& path, std::uint64_t key) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  File file = File::open(path);
  IndexFooter footer;
  if (file.size() < sizeof(footer)) return std::nullopt;
  const std::uint64_t entry_bytes = file.size() - sizeof(footer);
  file.read_at(entry_bytes, &footer, sizeof(footer));
  const bool is_ours = footer.magic == kMagic && footer.key == key &&
                       footer.footer_hash == footer_hash(footer) &&
                       entry_bytes % sizeof(IndexEntry) == 0 &&
                       footer.totals.samples == entry_bytes / sizeof(IndexEntry);
  if (!is_ours || hash_entries(file, entry_bytes) != footer.content_hash) return std::nullopt;
  return DataIndex(std::move(file), footer.totals, footer.content_hash);
}

void DataIndex::read(std::uint64_t first, std::span<IndexEntry> entries) const {
  ensure(first <= totals_.samples && entries.size() <= totals_.samples - first,
         "[data] samples {}..{} of {} asked", first, first + entries.size(), totals_.samples);
  file_.read_at(first * sizeof(IndexEntry), entries.data(), entries.size_bytes());
}

struct IndexWriter::Hash {
  XXH3_state_t state;
};

IndexWriter::IndexWriter(const std::string& path) : file_(path), hash_(std::make_unique<Hash>()) {
  XXH3_64bits_reset(&hash_->state);
}

IndexWriter::~IndexWriter() = default;

void IndexWriter::add(const IndexEntry& entry) {
  file_.write(&entry, sizeof(entry));
  XXH3_64bits_update(&hash_->state, &entry, sizeof(entry));
}

void IndexWriter::commit(const DataTotals& totals, std::uint64_t key) {
  IndexFooter footer;
  footer.key = key;
  footer.totals = totals;
  footer.content_hash = XXH3_64bits_digest(&hash_->state);
  footer.footer_hash = footer_hash(footer);
  file_.write(&footer, sizeof(footer));
  file_.commit();
}

}  // namespace outsize
