// TensorBoard event files, scalars only. A record is u64 length, masked CRC-32C of the length,
// payload, masked CRC-32C of the payload; the payload is an Event message of tensorboard's
// event.proto, encoded by hand. Readers merge files of one folder by step, so a resumed run simply
// opens another.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/file.h"

namespace outsize {

struct ScalarEvent {
  std::string_view tag;
  float value = 0.0f;
};

class TensorboardWriter {
 public:
  // Creates the folder where needed and in it events.out.tfevents.<seconds>.<host>.<pid>.<serial>.
  // Throws Io.
  explicit TensorboardWriter(const std::string& folder);

  const std::string& path() const { return file_.path(); }
  // One Event with all scalars of a step. It has reached the operating system on return, so a
  // killed process loses nothing. wall_time in seconds since 1970. Throws Io.
  void write(std::int64_t step, double wall_time, std::span<const ScalarEvent> scalars);

 private:
  void write_record(const std::string& payload);

  AppendFile file_;
};

// CRC-32C (Castagnoli) of the bytes.
std::uint32_t crc32c(const void* data, std::size_t bytes);

}  // namespace outsize
