// The list of samples the check of a data set found: 16 bytes each, in a file, read as needed, so
// that the number of samples costs no memory. The file can be kept and used again: its key is made
// from everything that decides it, and its bytes are checksummed.
//
// Format (little-endian): entries, then one IndexFooter.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/file.h"

namespace outsize {

// Sums over a checked data set. Positions are what a sample takes in a row (its ids less one).
struct DataTotals {
  std::uint64_t samples = 0;
  std::uint64_t positions = 0;
  std::uint64_t targets = 0;            // positions with a token to predict
  std::uint64_t longest_positions = 0;  // of one sample
  std::uint64_t longest_row_bytes = 0;  // of one JSONL line
  std::uint64_t rows = 0;               // JSONL rows and text documents read
  std::uint64_t truncated = 0;          // rows cut short (LongSamples::truncate)
  std::uint64_t split = 0;              // rows made into several samples (LongSamples::split)
  std::uint64_t dropped = 0;            // rows left out (LongSamples::drop)
  std::uint64_t untrained_chunks = 0;   // parts of split rows left out: nothing to train in them
};

// Where one sample lies.
struct IndexEntry {
  std::uint64_t place = 0;      // file number << 48 | byte offset of its line or piece
  std::uint32_t skip = 0;       // ids before the sample; top bit: the piece begins a document
  std::uint32_t positions = 0;  // at least 1

  static constexpr std::uint32_t kBeginsDocument = 0x80000000u;
  static constexpr std::uint64_t kMaxOffset = (std::uint64_t{1} << 48) - 1;
  static constexpr std::uint64_t kMaxFiles = 512;  // all stay open

  std::size_t file() const { return static_cast<std::size_t>(place >> 48); }
  std::uint64_t offset() const { return place & kMaxOffset; }
  std::uint32_t skipped_ids() const { return skip & ~kBeginsDocument; }
  bool begins_document() const { return (skip & kBeginsDocument) != 0; }
};
static_assert(sizeof(IndexEntry) == 16);

class DataIndex {
 public:
  // Opens an index written for `key`. Nothing when there is none, or it is for another key, torn or
  // damaged: it is then made anew.
  static std::optional<DataIndex> open(const std::string& path, std::uint64_t key);

  const DataTotals& totals() const { return totals_; }
  // Of all entries: equal hashes mean equal samples in equal places.
  std::uint64_t content_hash() const { return content_hash_; }
  // Entries [first, first + entries.size()). Throws Io, or Internal when out of range.
  void read(std::uint64_t first, std::span<IndexEntry> entries) const;

 private:
  DataIndex(File file, const DataTotals& totals, std::uint64_t content_hash)
      : file_(std::move(file)), totals_(totals), content_hash_(content_hash) {}

  File file_;
  DataTotals totals_;
  std::uint64_t content_hash_;
};

class IndexWriter {
 public:
  // Throws Io.
  explicit IndexWriter(const std::string& path);
  ~IndexWriter();

  void add(const IndexEntry& entry);
  // Makes the file appear under its name; once.
  void commit(const DataTotals& totals, std::uint64_t key);

 private:
  struct Hash;
  AtomicFile file_;
  std::unique_ptr<Hash> hash_;
};

// XXH3 of some bytes, chained through `seed`.
std::uint64_t hash_bytes(const void* data, std::size_t bytes, std::uint64_t seed);

}  // namespace outsize
