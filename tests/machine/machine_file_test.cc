#include "machine/machine_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <random>

#include "core/error.h"
#include "core/file.h"

namespace outsize {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What a person would write for a machine read about.
constexpr const char* kByHand = R"({
  "name": "workstation",
  "cpu": {"cores": 16, "gemm_gflops": {"f32": 1500, "bf16": {"median": 3000}}},
  "ram": {"total_bytes": 68719476736},
  "disk": {"free_bytes": 1000000000000, "read_gb_per_second": 7, "write_gb_per_second": 6.5}
})";

Machine sample() {
  Machine machine;
  machine.name = "test \"machine\"";
  machine.measured_at = "2024-06-07T08:09:10Z";
  machine.cpu.model = "CPU";
  machine.cpu.cores = 2;
  machine.cpu.isa = "avx512";
  machine.cpu.gemm_f32_gflops = Rate{500.125, 400, 600};
  machine.cpu.gemm_bf16_gflops = Rate{1000.0 / 3.0, 300, 400};
  machine.cpu.gemm_shapes.push_back({DType::u8, {1, 2, 3}, {5, 4, 6}});
  machine.ram.total_bytes = std::int64_t{1} << 40;
  machine.ram.available_bytes = 5;
  machine.ram.limit_bytes = std::int64_t{1} << 33;
  machine.ram.copy_gb_per_second = Rate{20, 19, 21};
  machine.disk = DiskMachine{"/data", "ext4", "local", true, 77, {2, 1, 3}, {1.5, 1, 2}, 0, {}, {}};
  machine.disk->points = {{"mixed", 4096, 8, {3, 2, 4}, 1e-4, 1.5}};
  machine.disk->warnings = {"a warning"};
  machine.cpu.gemm_shapes.push_back({DType::f32, {4, 5, 6}, {7, 7, 7}, GemmForm::tn_add});
  machine.device = DeviceMachine{"GPU", 80, Rate{1, 1, 1}, std::nullopt, {3000, 3000, 3000}};
  machine.h2d = LinkMachine{{25, 24, 26}, 1e-5};
  machine.net = LinkMachine{{12, 12, 12}, 0};
  machine.ops = {{"rms_norm", "f32", 256, {{1, 2, 3e-6}, {4, 5, 6e-6}}}};
  machine.calls = {{"add{}(f32[2]) -> f32[2]", 7e-6}};
  machine.slowdown["cpu"]["disk_read"] = 1.25;
  machine.versions = {"0.1.0", "2.6.3", "GCC", "Linux"};
  return machine;
}

std::string refusal(const std::string& text, ErrorKind kind = ErrorKind::InvalidArgument) {
  try {
    parse_machine(text, "m.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << text;
  return "";
}

// kByHand with one piece of text replaced.
std::string with(const std::string& from, const std::string& to) {
  std::string text = kByHand;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(MachineFile, ReadsWhatItWrites) {
  const Machine machine = sample();
  const std::string text = machine_json(machine);
  const Machine again = parse_machine(text, "m.json");
  EXPECT_EQ(machine_json(again), text);
  EXPECT_EQ(again.cpu.gemm_bf16_gflops->median, 1000.0 / 3.0);
  EXPECT_FALSE(again.cpu.gemm_int8_gflops);
  EXPECT_EQ(again.cpu.gemm_shapes.at(0).dtype, DType::u8);
  EXPECT_EQ(again.cpu.gemm_shapes.at(0).shape.n, 3);
  EXPECT_EQ(again.usable_ram_bytes(), std::int64_t{1} << 33);
  EXPECT_EQ(again.disk->write_gb_per_second.p90, 2);
  EXPECT_EQ(again.versions.onednn, "2.6.3");
  EXPECT_EQ(again.cpu.gemm_shapes.at(1).form, GemmForm::tn_add);
  EXPECT_EQ(again.disk->points.at(0).cpu_slowdown, 1.5);
  EXPECT_EQ(again.disk->warnings.at(0), "a warning");
  EXPECT_EQ(again.device->memory_gb_per_second.median, 3000);
  EXPECT_EQ(again.h2d->gb_per_second.p10, 24);
  EXPECT_FALSE(again.d2h);
  EXPECT_EQ(again.ops.at(0).points.at(1).seconds, 6e-6);
  EXPECT_EQ(again.calls.at(0).call, "add{}(f32[2]) -> f32[2]");
  EXPECT_EQ(again.calls.at(0).seconds, 7e-6);
  EXPECT_EQ(again.slowdown.at("cpu").at("disk_read"), 1.25);
}

TEST(MachineFile, RefusesMeasurementsThatMakeNoSense) {
  const auto more = [](const std::string& field) { return with("\"name\"", field + ", \"name\""); };
  EXPECT_THAT(refusal(more("\"slowdown\": {\"cpu\": {\"disk_read\": 0.5}}")),
              HasSubstr("expected a factor from 1"));
  EXPECT_THAT(refusal(more("\"slowdown\": {\"gpu\": {}}")), HasSubstr("slowdown.gpu"));
  EXPECT_THAT(refusal(more("\"net\": {}")), HasSubstr("gb_per_second"));
  EXPECT_THAT(refusal(more("\"net\": {\"gb_per_second\": 1, \"latency_seconds\": -1}")),
              HasSubstr("expected a number from 0"));
  EXPECT_THAT(refusal(more("\"device\": {\"gemm_gflops\": {}, \"memory_gb_per_second\": 1}")),
              HasSubstr("memory_bytes"));
  const auto op = [&](const std::string& points) {
    return more("\"ops\": [{\"op\": \"add\", \"variant\": \"f32\", \"points\": " + points + "}]");
  };
  EXPECT_NO_THROW(parse_machine(op("[[1, 0, 0], [2, 0, 1]]"), "m.json"));
  EXPECT_THAT(refusal(op("[]")), HasSubstr("is empty"));
  EXPECT_THAT(refusal(op("[[2, 0, 1], [1, 0, 1]]")), HasSubstr("to ascend"));
  EXPECT_THAT(refusal(op("[[1, 0, 2], [2, 0, 1]]")), HasSubstr("to ascend"));
  EXPECT_THAT(refusal(op("[[0, 0, 1]]")), HasSubstr("work > 0"));
  EXPECT_THAT(refusal(op("[[1, 1]]")), HasSubstr("no list of"));
  EXPECT_THAT(refusal(more("\"calls\": [{\"call\": \"add\", \"seconds\": 0}]")),
              HasSubstr("above 0"));
  EXPECT_THAT(refusal(with("\"read_gb", "\"points\": [{\"kind\": \"fast\"}], \"read_gb")),
              HasSubstr("expected read, write or mixed"));
}

TEST(MachineFile, HandWrittenFilesMayBeShort) {
  const Machine machine = parse_machine(kByHand, "m.json");
  EXPECT_EQ(machine.cpu.gemm_f32_gflops->p10, 1500);
  EXPECT_EQ(machine.cpu.gemm_bf16_gflops->p90, 3000);
  EXPECT_EQ(machine.usable_ram_bytes(), std::int64_t{64} << 30);
  EXPECT_EQ(machine.disk->kind, "local");
  EXPECT_EQ(machine.measured_at, "");
}

TEST(MachineFile, TheDocumentedExampleIsValid) {
  const std::string page = read_text(OUTSIZE_SOURCE_DIR "/docs/MACHINE.md", 1 << 20);
  int examples = 0;
  for (std::size_t begin = page.find("```json\n"); begin != std::string::npos;
       begin = page.find("```json\n", begin)) {
    begin += 8;
    const std::size_t end = page.find("```", begin);
    ASSERT_NE(end, std::string::npos);
    parse_machine(page.substr(begin, end - begin), "docs/MACHINE.md");
    ++examples;
  }
  EXPECT_GE(examples, 2);
}

TEST(MachineFile, RefusesByField) {
  EXPECT_THAT(refusal(with("\"cores\"", "\"core\"")),
              AllOf(HasSubstr("[m.json] unknown key; got 'cpu.core'"), HasSubstr("'cores'?")));
  EXPECT_THAT(refusal(with("\"ram\"", "\"rom\"")), HasSubstr("did you mean 'ram'?"));
  EXPECT_THAT(refusal(with("\"read_gb_per_second\"", "\"read_gbs\"")), HasSubstr("disk.read_gbs"));
  EXPECT_THAT(refusal(with("\"median\"", "\"mean\"")), HasSubstr("cpu.gemm_gflops.bf16.mean"));
  EXPECT_THAT(refusal(with("\"f32\": 1500, ", "")), HasSubstr("f32"));
  EXPECT_THAT(refusal(with("1500", "\"fast\"")), HasSubstr("expected a number or {median"));
  EXPECT_THAT(refusal(with("1500", "0")), HasSubstr("0 < p10"));
  EXPECT_THAT(refusal(with("1500", "-3")), HasSubstr("0 < p10"));
  EXPECT_THAT(refusal(with("3000}", "3000, \"p10\": 4000}")), HasSubstr("p10 <= median"));
  EXPECT_THAT(refusal(with("16", "0")), HasSubstr("cores"));
  EXPECT_THAT(refusal(with("16", "1e300")), HasSubstr("cores"));
  EXPECT_THAT(refusal(with("68719476736", "null")), HasSubstr("total_bytes"));
  EXPECT_THAT(refusal(with("\"free_bytes\"", "\"kind\": \"tape\", \"free_bytes\"")),
              HasSubstr("expected local, memory or network"));
  EXPECT_THAT(refusal("[]"), HasSubstr("got array"));
  refusal("{", ErrorKind::Corruption);
  refusal("", ErrorKind::Corruption);
  refusal(with("\"name\": \"workstation\"", "\"name\": 1, \"name\": 2"), ErrorKind::Corruption);
  EXPECT_THAT(refusal(with("\"name\"", "\"version\": 2, \"name\""), ErrorKind::Unsupported),
              HasSubstr("newer"));
}

TEST(MachineFile, FilesAreWrittenWhole) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("machine-{}.json", ::getpid()))
          .string();
  write_machine(sample(), path);
  EXPECT_EQ(machine_json(read_machine(path)), machine_json(sample()));
  std::filesystem::remove(path);
  EXPECT_THROW(read_machine(path), Error);
}

TEST(MachineFile, OddTextIsStillJson) {
  Machine machine = sample();
  machine.disk->path = "/bad\xff/path\n";
  const Machine again = parse_machine(machine_json(machine), "m.json");
  EXPECT_THAT(again.disk->path, testing::StartsWith("/bad"));
}

TEST(MachineFile, MutatedFilesGiveTypedErrorsOnly) {
  std::mt19937_64 random(77);
  const std::string seeds[] = {machine_json(sample()), kByHand};
  constexpr std::string_view kBits[] = {
      "null", "{",    "}",       "[", "]",    "-1",   "1e999", "\"",
      ",",    "\xff", "\\u0000", "0", "true", "[[[[", ": ",    "99999999999999999999"};
  int accepted = 0;
  int refused = 0;
  for (int i = 0; i < 12000; ++i) {
    std::string text = seeds[random() % 2];
    for (std::uint64_t edits = 1 + random() % 3; edits > 0 && !text.empty(); --edits) {
      const std::size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text.erase(at, random() % 12);
          break;
        case 1:
          text.insert(at, kBits[random() % std::size(kBits)]);
          break;
        case 2:
          text[at] = static_cast<char>(random());
          break;
        default:
          text.insert(at, std::string(text, random() % text.size(), random() % 40));
      }
    }
    try {
      const Machine machine = parse_machine(text, "fuzz.json");
      parse_machine(machine_json(machine), "again.json");
      ++accepted;
    } catch (const Error& error) {
      ASSERT_TRUE(error.kind() == ErrorKind::InvalidArgument ||
                  error.kind() == ErrorKind::Corruption || error.kind() == ErrorKind::Unsupported)
          << error.what() << "\n"
          << text;
      ++refused;
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 5000);
}

}  // namespace
}  // namespace outsize
