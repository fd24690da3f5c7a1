// Weights on their way in: bf16 goes to its place as it is stored, on all threads, and a failure on
// any of them is thrown to the caller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/half.h"
#include "formats/safetensors_writer.h"
#include "weights/testing.h"

namespace outsize::weights_test {
namespace {

// Enough elements for several pieces.
constexpr std::int64_t kRows = 1201, kColumns = 1024, kSkipped = 3;

struct StoredMatrix {
  explicit StoredMatrix(DType dtype) {
    SafetensorsWriter writer(folder.path("model.safetensors"),
                             {{"w", dtype, {kRows + kSkipped, kColumns}}});
    std::vector<bf16> row(kColumns);
    std::vector<float> wide(kColumns);
    for (std::int64_t r = 0; r < kRows + kSkipped; ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c) {
        row[static_cast<size_t>(c)] = to_bf16(value_of("w", r, c));
        wide[static_cast<size_t>(c)] = value_of("w", r, c);
      }
      if (dtype == DType::bf16)
        writer.append(row.data(), row.size() * 2);
      else
        writer.append(wide.data(), wide.size() * 4);
    }
    writer.finish();
    reader = open_hf_weights(folder.path());
  }
  TemporaryFolder folder;
  std::unique_ptr<WeightReader> reader;
};

WeightSource lower_part() {
  return {.parameter = "w", .hf_name = "w", .first_row = kSkipped, .total_rows = kRows + kSkipped};
}

TEST(ReadBf16, GivesTheStoredBits) {
  const StoredMatrix stored(DType::bf16);
  std::vector<bf16> got(static_cast<size_t>(kRows * kColumns));
  ASSERT_TRUE(stored.reader->read_bf16(lower_part(), {kRows, kColumns}, got.data()));
  std::vector<float> wide(got.size());
  stored.reader->read(lower_part(), {kRows, kColumns}, 0, kRows, wide.data());
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t c = 0; c < kColumns; ++c) {
      const auto i = static_cast<size_t>(r * kColumns + c);
      ASSERT_EQ(got[i].bits, to_bf16(value_of("w", r + kSkipped, c)).bits) << r << " " << c;
      ASSERT_EQ(to_f32(got[i]), wide[i]);
    }
}

TEST(ReadBf16, LeavesOtherDtypesAndLayoutsToRead) {
  std::vector<bf16> got(static_cast<size_t>(kRows * kColumns), bf16{0x1234});
  const StoredMatrix wide(DType::f32);
  EXPECT_FALSE(wide.reader->read_bf16(lower_part(), {kRows, kColumns}, got.data()));
  const StoredMatrix narrow(DType::bf16);
  WeightSource turned{.parameter = "w", .hf_name = "w", .hf_transposed = true};
  EXPECT_FALSE(narrow.reader->read_bf16(turned, {kColumns, kRows + kSkipped}, got.data()));
  for (bf16 value : got) ASSERT_EQ(value.bits, 0x1234);
}

TEST(ReadBf16, RefusesAnotherShape) {
  const StoredMatrix stored(DType::bf16);
  bf16 got;
  const Error error = error_of([&] {
    stored.reader->read_bf16(lower_part(), {kRows, kColumns + 1}, &got);
  });
  EXPECT_EQ(error.kind(), ErrorKind::InvalidArgument);
}

TEST(Reading, AFileThatIsCutMeanwhileIsCorruption) {
  const StoredMatrix stored(DType::bf16);
  const std::string path = stored.folder.path("model.safetensors");
  ASSERT_EQ(::truncate(path.c_str(), 100 * kColumns), 0);
  std::vector<float> wide(static_cast<size_t>(kRows * kColumns));
  std::vector<bf16> narrow(wide.size());
  const Shape shape = {kRows, kColumns};
  EXPECT_EQ(
      error_of([&] { stored.reader->read(lower_part(), shape, 0, kRows, wide.data()); }).kind(),
      ErrorKind::Corruption);
  EXPECT_EQ(error_of([&] { stored.reader->read_bf16(lower_part(), shape, narrow.data()); }).kind(),
            ErrorKind::Corruption);
}

}  // namespace
}  // namespace outsize::weights_test
