#include "formats/tensorboard.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <ctime>
#include <filesystem>

#include "core/error.h"

namespace outsize {
namespace {

// Wire types of protobuf fields.
enum class Wire : std::uint32_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 128; value >>= 7) out += static_cast<char>(value | 128);
  out += static_cast<char>(value);
}

void put_key(std::string& out, std::uint32_t field, Wire wire) {
  put_varint(out, field << 3 | static_cast<std::uint32_t>(wire));
}

template <class T>
void put_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_key(out, field, Wire::bytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// An Event with its time: wall_time = 1, step = 2, file_version = 3, summary = 5.
std::string event_at(double wall_time) {
  std::string event;
  put_key(event, 1, Wire::fixed64);
  put_raw(event, wall_time);
  return event;
}

// Keeps a stored CRC from being mistaken for data that has one inside.
std::uint32_t masked(std::uint32_t crc) {
  return std::rotr(crc, 15) + 0xa282ead8u;
}

std::string new_path(const std::string& folder) {
  static std::atomic<unsigned> serial{0};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    fail(ErrorKind::Io, "[tensorboard] cannot create folder '{}'; got: {}", folder,
         error.message());
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  return fmt::format("{}/events.out.tfevents.{:010}.{}.{}.{}", folder,
                     static_cast<long long>(std::time(nullptr)), host, ::getpid(), serial++);
}

}  // namespace

std::uint32_t crc32c(const void* data, std::size_t bytes) {
  static const auto kTable = [] {
    std::array<std::uint32_t, 256> table;
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1u ? 0x82f63b78u : 0u);
      table[i] = value;
    }
    return table;
  }();
  const auto* byte = static_cast<const unsigned char*>(data);
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < bytes; ++i) crc = crc >> 8 ^ kTable[(crc ^ byte[i]) & 255u];
  return ~crc;
}

TensorboardWriter::TensorboardWriter(const std::string& folder) : file_(new_path(folder)) {
  std::string event = event_at(static_cast<double>(std::time(nullptr)));
  put_bytes(event, 3, "brain.Event:2");
  write_record(event);
}

void TensorboardWriter::write(std::int64_t step, double wall_time,
                              std::span<const ScalarEvent> scalars) {
  // Summary: repeated value = 1 { tag = 1, simple_value = 2 }.
  std::string summary;
  for (const ScalarEvent& scalar : scalars) {
    std::string value;
    put_bytes(value, 1, scalar.tag);
    put_key(value, 2, Wire::fixed32);
    put_raw(value, scalar.value);
    put_bytes(summary, 1, value);
  }
  std::string event = event_at(wall_time);
  put_key(event, 2, Wire::varint);
  put_varint(event, static_cast<std::uint64_t>(step));
  put_bytes(event, 5, summary);
  write_record(event);
}

void TensorboardWriter::write_record(const std::string& payload) {
  std::string record;
  put_raw(record, static_cast<std::uint64_t>(payload.size()));
  put_raw(record, masked(crc32c(record.data(), record.size())));
  record += payload;
  put_raw(record, masked(crc32c(payload.data(), payload.size())));
  file_.write(record);
}

}  // namespace outsize
