// What a store holds, and where in its file everything lies. The layout is data of the caller; the
// geometry follows from it alone, so a file describes itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace outsize {

struct ExtentSpec {
  std::string name;
  std::uint64_t bytes = 0;  // multiple of kPageBytes; pad with pages_up
};

struct GroupSpec {
  std::string name;
  std::vector<ExtentSpec> extents;
  // Of one step's gradients, an extent each; multiples of kPageBytes; ring only.
  std::vector<std::uint64_t> log_bytes = {};
};

enum class StoreScheme : std::uint32_t {
  two_slots = 1,  // twice the state; groups in any order, or not at all
  ring = 2,       // the state, its largest group, a log; all groups in order in every step
};

struct StoreLayout {
  StoreScheme scheme = StoreScheme::two_slots;
  std::uint64_t identity = 0;  // tells this run's store from another one's, e.g. a random number
  std::uint64_t block_bytes = std::uint64_t{1} << 20;  // under one checksum; multiple of a page
  std::uint64_t blob_bytes_max = 1 << 16;              // of the caller's bytes in a commit
  std::vector<GroupSpec> groups;
};

// Blocks are numbered through: groups and extents in order, then the log's.
struct BlockRange {
  std::uint64_t first = 0;  // block
  std::uint64_t count = 0;
};

// All members in bytes, multiples of kPageBytes, unless they say otherwise.
class Geometry {
 public:
  // Throws InvalidArgument naming the group or extent: no group, nothing in a group, sizes that are
  // no multiple of a page, sums that do not fit 63 bits.
  explicit Geometry(const StoreLayout& layout);

  struct Extent {
    std::uint64_t offset = 0;  // within a copy of the group
    std::uint64_t bytes = 0;
    BlockRange blocks;
  };
  struct Group {
    std::vector<Extent> extents;
    std::uint64_t offset = 0;  // sum of the groups before it
    std::uint64_t bytes = 0;
    BlockRange blocks;
    std::vector<Extent> logs;       // offsets: within the log
    std::uint64_t progress_at = 0;  // in the file
  };

  StoreScheme scheme;
  std::uint64_t block_bytes;
  std::vector<Group> groups;
  std::uint64_t state_bytes = 0;  // one copy of everything
  std::uint64_t spare_bytes = 0;  // of the largest group
  std::uint64_t blocks = 0;       // of the state, a number
  std::uint64_t log_blocks = 0;   // a number

  // Regions of the file.
  std::uint64_t commit_bytes = 0;  // of one commit record
  std::uint64_t commit_at[2] = {};
  std::uint64_t log_record_bytes = 0;
  std::uint64_t log_record_at = 0;
  std::uint64_t data_at = 0;
  std::uint64_t data_bytes = 0;
  std::uint64_t log_at = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t record_bytes_max = 0;  // of any record

 private:
  void lay_out_groups(const StoreLayout& layout);
  void lay_out_file(const StoreLayout& layout);
};

// The payload of the layout record, and back. parse_layout throws Corruption with `path` when the
// bytes are no layout; it allocates no more than they justify.
std::string layout_payload(const StoreLayout& layout);
StoreLayout parse_layout(const std::string& payload, std::uint64_t identity,
                         const std::string& path);

}  // namespace outsize
