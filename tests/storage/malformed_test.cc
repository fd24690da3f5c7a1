// Store files that are not what they claim to be: a typed error or a sound run, never a crash, and
// nothing allocated that the file does not justify.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "core/error.h"
#include "storage/checksum.h"
#include "storage/record.h"
#include "storage/twin/sim_disk.h"
#include "storage/twin/toy_run.h"

namespace outsize {
namespace {

constexpr int kMutations = 6000;  // per layout
const std::string kPath = "run/state";

// A store in the middle of things: two commits, and in the ring a step half done.
std::vector<std::byte> sample_file(const ToyOptions& options) {
  SimDisk disk(1);
  ToyOptions cut = options;
  int points = options.scheme == StoreScheme::ring ? 92 : 60;
  cut.on_kill_point = [&](KillPoint) {
    if (--points == 0) disk.crash();
  };
  try {
    (void)run_toy(disk, "run", cut);
  } catch (const Error&) {
  }
  return disk.node(kPath).now;
}

// Makes the head's checksums right again, so that what lies behind them is reached.
void reseal(std::vector<std::byte>& file, std::uint64_t at) {
  RecordHead head;
  std::memcpy(&head, file.data() + at, sizeof head);
  const std::uint64_t room = file.size() - at - kPageBytes;
  if (head.payload_bytes <= room)
    head.payload_sum = checksum(file.data() + at + kPageBytes, head.payload_bytes);
  head.head_sum = checksum(&head, sizeof head - sizeof head.head_sum);
  std::memcpy(file.data() + at, &head, sizeof head);
}

void put_word(std::vector<std::byte>& file, std::uint64_t at, Dice& dice) {
  constexpr std::uint64_t kInteresting[] = {0,
                                            1,
                                            4095,
                                            4096,
                                            1u << 31,
                                            ~std::uint64_t{0},
                                            std::uint64_t{1} << 62,
                                            std::uint64_t{1} << 40};
  const std::uint64_t word = dice.below(2) == 0 ? kInteresting[dice.below(8)] : dice.next();
  std::memcpy(file.data() + at, &word, std::min<std::uint64_t>(sizeof word, file.size() - at));
}

// Some bytes of the records, sometimes sealed again; sometimes the file is cut.
void mutate(std::vector<std::byte>& file, const Geometry& geometry, Dice& dice) {
  std::vector<std::uint64_t> records{0, geometry.commit_at[0], geometry.commit_at[1]};
  if (geometry.scheme == StoreScheme::ring) {
    records.push_back(geometry.log_record_at);
    for (const auto& group : geometry.groups) records.push_back(group.progress_at);
  }
  for (std::uint64_t changes = 1 + dice.below(3); changes > 0; --changes) {
    const std::uint64_t record = records[dice.below(records.size())];
    const std::uint64_t within = dice.below(2) == 0 ? dice.below(72) : kPageBytes + dice.below(200);
    switch (dice.below(3)) {
      case 0:
        file[record + within] ^= std::byte{1} << static_cast<int>(dice.below(8));
        break;
      case 1:
        put_word(file, record + within / 4 * 4, dice);
        break;
      default:
        std::memcpy(file.data() + record, file.data() + records[dice.below(records.size())],
                    kPageBytes);
    }
    if (dice.below(3) != 0) reseal(file, record);
  }
  if (dice.below(20) == 0) file.resize(dice.below(file.size()));
}

void run_mutations(StoreScheme scheme) {
  const ToyOptions options{.scheme = scheme};
  const std::vector<std::byte> sample = sample_file(options);
  const Geometry geometry(toy_layout(options));
  ASSERT_EQ(sample.size(), geometry.file_bytes);
  Dice dice(12345);
  int errors = 0, opened = 0;
  for (int i = 0; i < kMutations; ++i) {
    SimDisk disk(2);
    (void)disk.create(kPath);
    std::vector<std::byte> file = sample;
    mutate(file, geometry, dice);
    disk.node(kPath).now = disk.node(kPath).durable = file;
    try {
      const auto store = StateStore::open(disk, "run", {.queue = {.requests = 4}});
      for (const StepReport& report : store->verify()) (void)report.damage.size();
      ++opened;
    } catch (const Error& error) {
      ++errors;
      const bool typed =
          error.kind() == ErrorKind::Corruption || error.kind() == ErrorKind::Unsupported;
      ASSERT_TRUE(typed) << "mutation " << i << ": " << error.what();
      ASSERT_NE(std::string(error.what()).find(kPath), std::string::npos) << error.what();
    }
  }
  std::cout << errors << " refused, " << opened << " opened\n";
  EXPECT_GT(errors, kMutations / 10);
  EXPECT_GT(opened, kMutations / 10);
}

TEST(Malformed, RecordsOfTwoSlots) {
  run_mutations(StoreScheme::two_slots);
}

TEST(Malformed, RecordsOfTheRing) {
  run_mutations(StoreScheme::ring);
}

TEST(Malformed, OtherFiles) {
  Dice dice(3);
  for (const std::size_t bytes : {0u, 1u, 4096u, 8192u, 100000u}) {
    SimDisk disk(2);
    (void)disk.create(kPath);
    std::vector<std::byte> file(bytes);
    for (std::byte& byte : file) byte = static_cast<std::byte>(dice.next());
    disk.node(kPath).now = disk.node(kPath).durable = file;
    try {
      (void)StateStore::open(disk, "run", {});
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Corruption) << error.what();
    }
  }
  struct rusage usage {};
  ASSERT_EQ(::getrusage(RUSAGE_SELF, &usage), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(usage.ru_maxrss, 256 * 1024) << "KiB: some header was believed";
#endif
}

}  // namespace
}  // namespace outsize
