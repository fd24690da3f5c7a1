#include "storage/layout.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "storage/aligned_buffer.h"
#include "storage/record.h"

namespace outsize {
namespace {

// File offsets are signed 64 bits; a factor of 4 leaves room for every sum made of two of them.
constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 61;

std::uint64_t add(std::uint64_t a, std::uint64_t b, const std::string& name) {
  if (a > kMaxBytes || b > kMaxBytes || a + b > kMaxBytes)
    fail(ErrorKind::InvalidArgument, "[store] '{}' makes the store too large; expected at most {}",
         name, kMaxBytes);
  return a + b;
}

void require_pages(std::uint64_t bytes, std::uint64_t least, const std::string& name) {
  if (bytes < least || bytes % kPageBytes != 0)
    fail(ErrorKind::InvalidArgument,
         "[store] '{}' has {} bytes; expected a multiple of {}, at least {}; try: pad it", name,
         bytes, kPageBytes, least);
}

BlockRange blocks_of(std::uint64_t bytes, std::uint64_t block_bytes, std::uint64_t first) {
  return {first, (bytes + block_bytes - 1) / block_bytes};
}

}  // namespace

Geometry::Geometry(const StoreLayout& layout)
    : scheme(layout.scheme), block_bytes(layout.block_bytes) {
  if (scheme != StoreScheme::two_slots && scheme != StoreScheme::ring)
    fail(ErrorKind::InvalidArgument, "[store] unknown scheme; got {}; expected 1 or 2",
         static_cast<std::uint32_t>(scheme));
  require_pages(block_bytes, kPageBytes, "block_bytes");
  add(block_bytes, layout.blob_bytes_max, "blob_bytes_max");
  if (layout.groups.empty())
    fail(ErrorKind::InvalidArgument, "[store] got no group; expected at least one");
  lay_out_groups(layout);
  lay_out_file(layout);
}

void Geometry::lay_out_groups(const StoreLayout& layout) {
  std::uint64_t log_bytes = 0;
  for (const GroupSpec& spec : layout.groups) {
    Group group;
    group.offset = state_bytes;
    group.blocks.first = blocks;
    for (const ExtentSpec& extent : spec.extents) {
      require_pages(extent.bytes, kPageBytes, spec.name + "/" + extent.name);
      const BlockRange run = blocks_of(extent.bytes, block_bytes, blocks);
      group.extents.push_back({group.bytes, extent.bytes, run});
      group.bytes = add(group.bytes, extent.bytes, spec.name);
      blocks += run.count;
    }
    require_pages(group.bytes, kPageBytes, spec.name);
    group.blocks.count = blocks - group.blocks.first;
    state_bytes = add(state_bytes, group.bytes, spec.name);
    spare_bytes = std::max(spare_bytes, group.bytes);
    for (const std::uint64_t bytes : spec.log_bytes) {
      require_pages(bytes, 0, spec.name + "/log");
      if (scheme != StoreScheme::ring) continue;
      const BlockRange run = blocks_of(bytes, block_bytes, log_blocks);
      group.logs.push_back({log_bytes, bytes, run});
      log_bytes = add(log_bytes, bytes, spec.name);
      log_blocks += run.count;
    }
    groups.push_back(std::move(group));
  }
  for (Group& group : groups)
    for (Extent& log : group.logs) log.blocks.first += blocks;  // numbered after the state's
  data_bytes = add(state_bytes, scheme == StoreScheme::ring ? spare_bytes : state_bytes, "state");
  file_bytes = log_bytes;  // lay_out_file adds the rest
}

void Geometry::lay_out_file(const StoreLayout& layout) {
  const std::uint64_t log_bytes = file_bytes;
  const std::uint64_t word = sizeof(std::uint64_t);
  const std::uint64_t commit_payload =
      word + word * groups.size() + word * blocks + layout.blob_bytes_max;
  std::uint64_t at = record_bytes(layout_payload(layout).size());
  commit_bytes = record_bytes(commit_payload);
  record_bytes_max = std::max(at, commit_bytes);
  for (std::uint64_t& place : commit_at) {
    place = at;
    at = add(at, commit_bytes, "commit");
  }
  if (scheme == StoreScheme::ring) {
    log_record_bytes = record_bytes(word + word * log_blocks + layout.blob_bytes_max);
    record_bytes_max = std::max(record_bytes_max, log_record_bytes);
    log_record_at = at;
    at = add(at, log_record_bytes, "log");
    for (Group& group : groups) {
      group.progress_at = at;
      at = add(at, record_bytes(word + word * group.blocks.count), "progress");
    }
  }
  data_at = at;
  log_at = add(at, data_bytes, "data");
  file_bytes = add(log_at, log_bytes, "log");
}

std::string layout_payload(const StoreLayout& layout) {
  PayloadWriter out;
  out.put(static_cast<std::uint32_t>(layout.scheme));
  out.put(static_cast<std::uint32_t>(layout.groups.size()));
  out.put(layout.block_bytes);
  out.put(layout.blob_bytes_max);
  for (const GroupSpec& group : layout.groups) {
    out.put_text(group.name);
    out.put(static_cast<std::uint32_t>(group.log_bytes.size()));
    for (const std::uint64_t bytes : group.log_bytes) out.put(bytes);
    out.put(static_cast<std::uint32_t>(group.extents.size()));
    for (const ExtentSpec& extent : group.extents) {
      out.put_text(extent.name);
      out.put(extent.bytes);
    }
  }
  return out.take();
}

StoreLayout parse_layout(const std::string& payload, std::uint64_t identity,
                         const std::string& path) {
  PayloadReader in(payload, path);
  StoreLayout layout;
  layout.identity = identity;
  layout.scheme = static_cast<StoreScheme>(in.get<std::uint32_t>());
  const auto groups = in.get<std::uint32_t>();
  layout.block_bytes = in.get<std::uint64_t>();
  layout.blob_bytes_max = in.get<std::uint64_t>();
  for (std::uint32_t g = 0; g < groups; ++g) {  // grows only as fast as the bytes are used up
    GroupSpec group;
    group.name = in.get_text();
    const auto logs = in.get<std::uint32_t>();
    for (std::uint32_t l = 0; l < logs; ++l) group.log_bytes.push_back(in.get<std::uint64_t>());
    const auto extents = in.get<std::uint32_t>();
    for (std::uint32_t e = 0; e < extents; ++e) {
      ExtentSpec extent;
      extent.name = in.get_text();
      extent.bytes = in.get<std::uint64_t>();
      group.extents.push_back(std::move(extent));
    }
    layout.groups.push_back(std::move(group));
  }
  in.require_end();
  return layout;
}

}  // namespace outsize
