// Checkpoints: bits come back, damage and mismatch are named, a save that fails leaves nothing.
#include "weights/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "weights/testing.h"

namespace outsize::weights_test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Memory of every dtype a state has, odd sizes and none at all.
class State {
 public:
  explicit State(unsigned char fill) {
    add("model.embed.weight", DType::bf16, {7, 5}, fill);
    add("model.embed.weight:master_low", DType::i16, {7, 5}, fill);
    add("model.embed.weight:m", DType::f32, {7, 5}, fill);
    add("norm.weight", DType::f32, {3}, fill);
    add("norm.weight:rows", DType::f32, {1}, fill);
    add("empty", DType::f32, {0, 4}, fill);
    add("totals", DType::f64, {}, fill);
  }

  std::vector<NamedMemory> list;
  std::vector<std::vector<unsigned char>> bytes;

 private:
  void add(const std::string& name, DType dtype, const Shape& shape, unsigned char fill) {
    std::vector<unsigned char> data(static_cast<size_t>(shape.numel() * size_of(dtype)));
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<unsigned char>(fill == 0 ? 0 : fill * (i + 1) + list.size());
    bytes.push_back(std::move(data));
    list.push_back({name, dtype, shape, bytes.back().data()});
  }
};

const CheckpointInfo kInfo{12, R"({"epoch": 3, "text": "\"quoted\""})", 5, "avx2"};

TEST(Checkpoint, BringsBackEveryBit) {
  const TemporaryFolder folder;
  const State saved(3);
  save_checkpoint(folder.path("step-12"), kInfo, saved.list);
  State loaded(0);
  load_checkpoint(folder.path("step-12"), loaded.list);
  EXPECT_EQ(loaded.bytes, saved.bytes);
  const CheckpointInfo info = read_checkpoint_info(folder.path("step-12"));
  EXPECT_EQ(info.step, kInfo.step);
  EXPECT_EQ(info.cursor, kInfo.cursor);
  EXPECT_EQ(info.threads, kInfo.threads);
  EXPECT_EQ(info.isa, kInfo.isa);
  EXPECT_NO_THROW(verify_checkpoint(folder.path("step-12")));
  // The order of the list is no part of it.
  State turned(0);
  std::reverse(turned.list.begin(), turned.list.end());
  load_checkpoint(folder.path("step-12"), turned.list);
  EXPECT_EQ(turned.bytes, saved.bytes);
}

TEST(Checkpoint, NamesTheTensorThatDiffers) {
  const TemporaryFolder folder;
  State state(3);
  save_checkpoint(folder.path("step-1"), kInfo, state.list);
  auto load = [&](auto change) {
    State other(0);
    change(other.list);
    return error_of([&] { load_checkpoint(folder.path("step-1"), other.list); });
  };
  Error error = load([](auto& list) { list[3].name = "other.weight"; });
  EXPECT_EQ(error.kind(), ErrorKind::Corruption);
  EXPECT_THAT(error.what(), HasSubstr("'other.weight' is missing"));
  error = load([](auto& list) { list[0].shape = {5, 7}; });
  EXPECT_EQ(error.kind(), ErrorKind::Corruption);
  EXPECT_THAT(error.what(), HasSubstr("'model.embed.weight' is bf16[7,5]"));
  error = load([](auto& list) { list[1].dtype = DType::f16; });
  EXPECT_EQ(error.kind(), ErrorKind::Corruption);
  EXPECT_THAT(error.what(), HasSubstr("master_low"));
}

void flip(const std::string& path, size_t offset, int bit) {
  std::string bytes = read_file(path);
  bytes.at(offset) = static_cast<char>(bytes.at(offset) ^ (1 << bit));
  std::ofstream(path, std::ios::binary) << bytes;
}

// Every single bit of both files, one after another.
TEST(Checkpoint, FindsEveryFlippedBit) {
  const TemporaryFolder folder;
  State state(3);
  const std::string checkpoint = folder.path("step-1");
  save_checkpoint(checkpoint, kInfo, state.list);
  for (const char* name : {"state.safetensors", "state.json"}) {
    const std::string path = checkpoint + "/" + name;
    const size_t size = read_file(path).size();
    for (size_t offset = 0; offset < size; ++offset) {
      const int bit = static_cast<int>((offset * 5) % 8);
      flip(path, offset, bit);
      const Error error = error_of([&] { verify_checkpoint(checkpoint); });
      EXPECT_TRUE(error.kind() == ErrorKind::Corruption || error.kind() == ErrorKind::Unsupported)
          << name << " byte " << offset << " bit " << bit << ": " << error.what();
      EXPECT_THAT(error.what(), HasSubstr(name));
      flip(path, offset, bit);
    }
  }
  EXPECT_NO_THROW(verify_checkpoint(checkpoint));
}

TEST(Checkpoint, FindsEveryCut) {
  const TemporaryFolder folder;
  State state(3);
  const std::string checkpoint = folder.path("step-1");
  save_checkpoint(checkpoint, kInfo, state.list);
  for (const char* name : {"state.safetensors", "state.json"}) {
    const std::string path = checkpoint + "/" + name, whole = read_file(path);
    for (size_t size = 0; size + 1 < whole.size(); size += 7) {
      std::ofstream(path, std::ios::binary) << whole.substr(0, size);
      EXPECT_EQ(error_of([&] { verify_checkpoint(checkpoint); }).kind(), ErrorKind::Corruption)
          << name << " cut to " << size;
    }
    std::ofstream(path, std::ios::binary) << whole << "more";
    EXPECT_EQ(error_of([&] { verify_checkpoint(checkpoint); }).kind(), ErrorKind::Corruption);
    fs::remove(path);
    EXPECT_EQ(error_of([&] { verify_checkpoint(checkpoint); }).kind(), ErrorKind::Io);
    std::ofstream(path, std::ios::binary) << whole;
  }
}

TEST(Checkpoint, SavesOverWhatACrashLeft) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path("unfinished/deeper"));
  std::ofstream(folder.path("unfinished/state.json")) << "torn";
  const State state(3);
  save_checkpoint(folder.path("step-1"), kInfo, state.list);
  EXPECT_NO_THROW(verify_checkpoint(folder.path("step-1")));
  EXPECT_FALSE(fs::exists(folder.path("unfinished")));
}

TEST(Checkpoint, AFailedSaveLeavesTheOldOnesAndNothingElse) {
  const TemporaryFolder folder;
  State state(3);
  save_checkpoint(folder.path("step-1"), kInfo, state.list);
  state.list.push_back(state.list[3]);  // a name twice: refused while writing
  EXPECT_THROW(save_checkpoint(folder.path("step-2"), kInfo, state.list), Error);
  EXPECT_NO_THROW(verify_checkpoint(folder.path("step-1")));
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path()))
    names.push_back(entry.path().filename());
  EXPECT_THAT(names, ::testing::ElementsAre("step-1"));
  std::ofstream(folder.path("file")) << "";
  const Error error =
      error_of([&] { save_checkpoint(folder.path("file/step-3"), kInfo, State(1).list); });
  EXPECT_EQ(error.kind(), ErrorKind::Io);
  EXPECT_THAT(error.what(), HasSubstr("file"));
}

TEST(Checkpoint, GivesTheMastersAsWeights) {
  const TemporaryFolder folder;
  State state(3);
  save_checkpoint(folder.path("step-1"), kInfo, state.list);
  const auto reader = open_checkpoint_weights(folder.path("step-1"));
  const WeightSource norm{.parameter = "norm.weight"}, embed{.parameter = "model.embed.weight"};
  float values[10];
  reader->read(norm, {3}, 0, 3, values);
  EXPECT_EQ(std::memcmp(values, state.bytes[3].data(), 12), 0);
  reader->read(norm, {3}, 1, 2, values);
  EXPECT_EQ(std::memcmp(values, state.bytes[3].data() + 4, 8), 0);
  EXPECT_NO_THROW(reader->check(embed, {7, 5}));
  EXPECT_NO_THROW(reader->read(embed, {7, 5}, 5, 2, values));
  EXPECT_THROW(reader->check(embed, {5, 7}), Error);
  EXPECT_THROW(reader->check({.parameter = "none"}, {1}), Error);
}

}  // namespace
}  // namespace outsize::weights_test
