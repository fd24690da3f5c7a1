#include "core/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/error.h"

namespace outsize {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "outsize-file-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string at(const std::string& name) const { return folder_ / name; }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(at(name), std::ios::binary) << text;
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

// The kind of the error that `action` throws; its message lands in `message`.
template <class F>
ErrorKind kind_thrown(F&& action, std::string* message) {
  try {
    action();
  } catch (const Error& error) {
    *message = error.what();
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::Internal;
}

TEST_F(FileTest, ReadsAtAnyPosition) {
  put("a", "0123456789");
  File file = File::open(at("a"));
  EXPECT_EQ(file.size(), 10u);
  char piece[4] = {};
  file.read_at(3, piece, 4);
  EXPECT_EQ(std::string(piece, 4), "3456");
  file.read_at(10, piece, 0);
  File moved = std::move(file);
  moved.read_at(6, piece, 4);
  EXPECT_EQ(std::string(piece, 4), "6789");
  put("b", "b");
  moved = File::open(at("b"));
  EXPECT_EQ(moved.size(), 1u);
}

TEST_F(FileTest, ReadingPastTheEndIsCorruptionNamingFileAndOffset) {
  put("short", "0123456789");
  const File file = File::open(at("short"));
  char piece[4];
  std::string message;
  EXPECT_EQ(kind_thrown([&] { file.read_at(7, piece, 4); }, &message), ErrorKind::Corruption);
  EXPECT_NE(message.find(at("short")), std::string::npos) << message;
  EXPECT_NE(message.find("offset 7"), std::string::npos) << message;
  EXPECT_EQ(kind_thrown([&] { file.read_at(~std::uint64_t{0}, piece, 4); }, &message),
            ErrorKind::Corruption);
}

TEST_F(FileTest, AFileCutAfterOpeningIsCorruption) {
  put("cut", "0123456789");
  const File file = File::open(at("cut"));
  fs::resize_file(at("cut"), 4);
  char piece[8];
  std::string message;
  EXPECT_EQ(kind_thrown([&] { file.read_at(0, piece, 8); }, &message), ErrorKind::Corruption);
}

TEST_F(FileTest, RefusesWhatIsNotARegularFile) {
  std::string message;
  EXPECT_EQ(kind_thrown([&] { File::open(at("missing")); }, &message), ErrorKind::Io);
  EXPECT_NE(message.find("No such file"), std::string::npos) << message;
  EXPECT_EQ(kind_thrown([&] { File::open(folder_); }, &message), ErrorKind::Io);
  EXPECT_NE(message.find("a folder"), std::string::npos) << message;
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(kind_thrown([&] { File::open(at("pipe")); }, &message), ErrorKind::Io);
  EXPECT_EQ(kind_thrown([&] { File::open("/dev/zero"); }, &message), ErrorKind::Io);
}

TEST_F(FileTest, ReadTextKeepsToItsLimit) {
  put("text", std::string("a\0b\n", 4));
  EXPECT_EQ(read_text(at("text"), 4), std::string("a\0b\n", 4));
  std::string message;
  EXPECT_EQ(kind_thrown([&] { read_text(at("text"), 3); }, &message), ErrorKind::InvalidArgument);
  put("empty", "");
  EXPECT_EQ(read_text(at("empty"), 0), "");
}

TEST_F(FileTest, CommitReplacesTheTargetWhole) {
  put("target", "old");
  std::string expected;
  {
    AtomicFile file(at("target"));
    for (int i = 0; i < 1000; ++i) {
      const std::string piece(static_cast<std::size_t>(i * 7 % 1500),
                              static_cast<char>('a' + i % 26));
      file.write(piece.data(), piece.size());
      expected += piece;
    }
    const std::string large(600 * 1024, 'L');
    file.write(large.data(), large.size());
    expected += large;
    EXPECT_EQ(file.size(), expected.size());
    EXPECT_EQ(read_text(at("target"), 100), "old");
    file.commit();
  }
  EXPECT_EQ(read_text(at("target"), expected.size()), expected);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, WithoutCommitNothingIsLeft) {
  put("target", "old");
  {
    AtomicFile file(at("target"));
    file.write("new", 3);
    EXPECT_EQ(entries(), 2u);
  }
  EXPECT_EQ(read_text(at("target"), 100), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, TwoWritersOfOneTargetDoNotMix) {
  AtomicFile first(at("target"));
  AtomicFile second(at("target"));
  first.write("first", 5);
  second.write("second", 6);
  first.commit();
  EXPECT_EQ(read_text(at("target"), 100), "first");
  second.commit();
  EXPECT_EQ(read_text(at("target"), 100), "second");
}

TEST_F(FileTest, RefusedWritesSayPathAndReason) {
  std::string message;
  EXPECT_EQ(kind_thrown([&] { write_text_atomically(at("no/such/folder"), "x"); }, &message),
            ErrorKind::Io);
  EXPECT_NE(message.find("no/such/folder"), std::string::npos) << message;
  fs::create_directory(at("taken"));
  EXPECT_EQ(kind_thrown([&] { write_text_atomically(at("taken"), "x"); }, &message), ErrorKind::Io);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(FileTest, AppendingKeepsWhatIsThere) {
  {
    AppendFile file(at("log"));
    file.write("one\n");
    EXPECT_EQ(read_text(at("log"), 100), "one\n");
  }
  AppendFile(at("log")).write("two\n");
  EXPECT_EQ(read_text(at("log"), 100), "one\ntwo\n");
  std::string message;
  EXPECT_EQ(kind_thrown([&] { AppendFile file(at("no/log")); }, &message), ErrorKind::Io);
  EXPECT_EQ(kind_thrown([&] { AppendFile("/dev/full").write("x"); }, &message), ErrorKind::Io);
  EXPECT_NE(message.find("No space left"), std::string::npos) << message;
}

// A file size limit stands in for a full disk: the write is cut short, then refused.
TEST_F(FileTest, AFullDiskIsAnIoErrorAndLeavesNoTrace) {
  put("target", "old");
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit tight = before;
  tight.rlim_cur = 100 * 1024;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  std::string message;
  const ErrorKind kind = kind_thrown(
      [&] { write_text_atomically(at("target"), std::string(1024 * 1024, 'x')); }, &message);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(kind, ErrorKind::Io);
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_EQ(read_text(at("target"), 100), "old");
  EXPECT_EQ(entries(), 1u);
}

}  // namespace
}  // namespace outsize
