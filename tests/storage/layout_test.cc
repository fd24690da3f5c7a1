// The geometry of stores and the places of copies.
#include "storage/layout.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "storage/aligned_buffer.h"
#include "storage/placement.h"
#include "storage/twin/sim_disk.h"

namespace outsize {
namespace {

StoreLayout random_layout(Dice& dice, StoreScheme scheme) {
  StoreLayout layout;
  layout.scheme = scheme;
  layout.block_bytes = kPageBytes * (1 + dice.below(4));
  const std::uint64_t groups = 1 + dice.below(8);
  for (std::uint64_t g = 0; g < groups; ++g) {
    GroupSpec group;
    group.name = std::to_string(g);
    const std::uint64_t extents = 1 + dice.below(3);
    for (std::uint64_t e = 0; e < extents; ++e)
      group.extents.push_back({std::to_string(e), kPageBytes * (1 + dice.below(9))});
    for (std::uint64_t logs = dice.below(3); logs > 0; --logs)
      group.log_bytes.push_back(kPageBytes * dice.below(4));
    layout.groups.push_back(group);
  }
  return layout;
}

// Marks the pages of a copy with an owner; the owner that was there before, or −1.
void claim(std::vector<int>& owners, std::uint64_t place, std::uint64_t bytes, int owner) {
  for (std::uint64_t at = 0; at < bytes; at += kPageBytes)
    owners[(place + at) / kPageBytes % owners.size()] = owner;
}

bool is_owned(const std::vector<int>& owners, std::uint64_t place, std::uint64_t bytes, int owner) {
  for (std::uint64_t at = 0; at < bytes; at += kPageBytes)
    if (owners[(place + at) / kPageBytes % owners.size()] != owner) return false;
  return true;
}

// Goes through many steps page by page. Owners: 2g is the old copy of g, 2g + 1 the new one.
void check_steps(const Geometry& geometry) {
  const int groups = static_cast<int>(geometry.groups.size());
  std::vector<int> owners(geometry.data_bytes / kPageBytes, -1);
  std::vector<std::uint64_t> places;
  for (int g = 0; g < groups; ++g) places.push_back(first_place(geometry, g));
  for (int step = 0; step < 20; ++step) {
    ASSERT_TRUE(places_are_possible(geometry, places));
    const auto bytes = [&](int g) { return geometry.groups[static_cast<std::size_t>(g)].bytes; };
    const auto place = [&](int g) -> auto& {
      return places[static_cast<std::size_t>(g)];
    };
    for (int g = 0; g < groups; ++g) claim(owners, place(g), bytes(g), 2 * g);
    for (int g = 0; g < groups; ++g) ASSERT_TRUE(is_owned(owners, place(g), bytes(g), 2 * g));
    for (int g = 0; g < groups; ++g) {
      const std::uint64_t next = next_place(geometry, g, place(g));
      claim(owners, next, bytes(g), 2 * g + 1);
      for (int other = g; other < groups;
           ++other)  // still needed to redo: all old copies from g on
        ASSERT_TRUE(is_owned(owners, place(other), bytes(other), 2 * other));
      for (int other = 0; other < g; ++other)
        ASSERT_TRUE(is_owned(owners, place(other), bytes(other), 2 * other + 1));
      place(g) = next;
    }
  }
}

TEST(Layout, NewCopiesNeverTouchWhatIsStillNeeded) {
  Dice dice(7);
  for (int i = 0; i < 300; ++i)
    for (const StoreScheme scheme : {StoreScheme::two_slots, StoreScheme::ring})
      check_steps(Geometry(random_layout(dice, scheme)));
}

TEST(Layout, DiskNeededIsWhatTheDocumentSays) {
  Dice dice(8);
  StoreLayout layout = random_layout(dice, StoreScheme::two_slots);
  const Geometry two(layout);
  EXPECT_EQ(two.data_bytes, 2 * two.state_bytes);
  layout.scheme = StoreScheme::ring;
  const Geometry ring(layout);
  EXPECT_EQ(ring.data_bytes, ring.state_bytes + ring.spare_bytes);
}

TEST(Layout, ComesBackFromItsPayload) {
  Dice dice(9);
  for (int i = 0; i < 100; ++i) {
    StoreLayout layout = random_layout(dice, StoreScheme::ring);
    layout.identity = dice.next();
    const std::string payload = layout_payload(layout);
    const StoreLayout back = parse_layout(payload, layout.identity, "state");
    EXPECT_EQ(layout_payload(back), payload);
    EXPECT_EQ(back.identity, layout.identity);
    const std::string cut = payload.substr(0, dice.below(payload.size()));
    EXPECT_THROW((void)parse_layout(cut, 0, "state"), Error);
  }
}

void expect_invalid(const StoreLayout& layout, const std::string& named) {
  try {
    (void)Geometry(layout);
    FAIL() << named;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
    EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
  }
}

TEST(Layout, RefusesWhatCannotBeStored) {
  Dice dice(10);
  const StoreLayout good = random_layout(dice, StoreScheme::ring);
  StoreLayout bad = good;
  bad.groups.clear();
  expect_invalid(bad, "no group");
  bad = good;
  bad.groups[0].extents[0].bytes = 4095;
  expect_invalid(bad, "'0/0' has 4095 bytes");
  bad = good;
  bad.groups[0].extents.clear();
  expect_invalid(bad, "'0' has 0 bytes");
  bad = good;
  bad.block_bytes = 0;
  expect_invalid(bad, "block_bytes");
  bad = good;
  bad.groups[0].extents[0].bytes = std::uint64_t{1} << 62;
  expect_invalid(bad, "too large");
  bad = good;
  bad.blob_bytes_max = ~std::uint64_t{0};
  expect_invalid(bad, "too large");
  bad = good;
  bad.scheme = static_cast<StoreScheme>(9);
  expect_invalid(bad, "scheme");
}

}  // namespace
}  // namespace outsize
