// What a kernel or worker returns instead of throwing. The message must outlive the process: a
// literal.
#pragma once

namespace outsize {

class [[nodiscard]] Status {
 public:
  Status() = default;
  explicit Status(const char* message) : message_(message) {}
  bool ok() const { return message_ == nullptr; }
  const char* message() const { return message_ ? message_ : "ok"; }

 private:
  const char* message_ = nullptr;
};

}  // namespace outsize
