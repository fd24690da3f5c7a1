// Names of buffers, formed only where somebody will read them: most plans of a search are never
// shown.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace outsize {

class Label {
 public:
  explicit Label(bool wanted) : wanted_(wanted) {}

  template <class... Args>
  std::string operator()(fmt::format_string<Args...> text, Args&&... args) const {
    return wanted_ ? fmt::format(text, std::forward<Args>(args)...) : std::string();
  }

 private:
  bool wanted_;
};

}  // namespace outsize
