#include "formats/tensorboard.h"

#include <cstring>
#include <vector>

#include "testing.h"

namespace outsize {
namespace {

using testing_formats::bytes_of;
using testing_formats::expect_error;
using testing_formats::Scratch;

// The payloads of a file whose records are intact; checks both CRCs of each.
std::vector<std::string> payloads_of(const std::string& bytes) {
  std::vector<std::string> payloads;
  const auto unmask = [](std::uint32_t stored) {
    const std::uint32_t rotated = stored - 0xa282ead8u;
    return rotated << 15 | rotated >> 17;
  };
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint64_t length = 0;
    std::uint32_t length_crc = 0;
    std::uint32_t crc = 0;
    std::memcpy(&length, &bytes[at], 8);
    std::memcpy(&length_crc, &bytes[at + 8], 4);
    std::memcpy(&crc, &bytes[at + 12 + length], 4);
    EXPECT_EQ(unmask(length_crc), crc32c(&bytes[at], 8));
    payloads.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(unmask(crc), crc32c(payloads.back().data(), length));
    at += 16 + length;
  }
  return payloads;
}

TEST(Crc32c, GivesThePublishedValues) {
  // RFC 3720, appendix B.4, and the check value of the polynomial.
  EXPECT_EQ(crc32c("123456789", 9), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0').data(), 32), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff').data(), 32), 0x62a8ab43u);
  EXPECT_EQ(crc32c("", 0), 0u);
}

TEST(Tensorboard, WritesExactlyTheseEvents) {
  const Scratch scratch;
  TensorboardWriter writer(scratch.at("run/events"));
  const ScalarEvent scalars[] = {{"loss", 0.5f}, {"lr", 2.0f}};
  writer.write(300, 1.0, scalars);
  // Nothing is held back until the writer goes.
  const auto payloads = payloads_of(bytes_of(writer.path()));
  ASSERT_EQ(payloads.size(), 2u);
  EXPECT_EQ(payloads[0].substr(0, 1), "\x09");
  EXPECT_EQ(payloads[0].substr(9),
            "\x1a\x0d"
            "brain.Event:2");
  const std::string expected = std::string("\x09\0\0\0\0\0\0\xf0\x3f", 9) +  // wall_time 1.0
                               "\x10\xac\x02" +                              // step 300
                               "\x2a\x18" +                                  // summary of 24 bytes
                               "\x0a\x0b\x0a\x04loss\x15" + std::string("\0\0\0\x3f", 4) +
                               "\x0a\x09\x0a\x02lr\x15" + std::string("\0\0\0\x40", 4);
  EXPECT_EQ(payloads[1], expected);
  const std::string name = std::filesystem::path(writer.path()).filename();
  EXPECT_TRUE(name.starts_with("events.out.tfevents.")) << name;
}

TEST(Tensorboard, EachWriterHasItsOwnFile) {
  const Scratch scratch;
  TensorboardWriter first(scratch.folder());
  TensorboardWriter second(scratch.folder());
  EXPECT_NE(first.path(), second.path());
}

TEST(Tensorboard, RefusedFoldersAreIoErrors) {
  const Scratch scratch;
  scratch.put("taken", "x");
  expect_error(ErrorKind::Io, "taken", [&] { TensorboardWriter writer(scratch.at("taken")); });
}

}  // namespace
}  // namespace outsize
